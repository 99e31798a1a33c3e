"""A small client of one provider, over the transport of a world."""

from __future__ import annotations

from typing import Any

import httpx

from mockserver.world import World


class Kling:
    """Makes videos of texts, and asks how far they are."""

    def __init__(self, world: World, *, headers: Any = None) -> None:
        self.base = f"{world.kling.base_url}/v1/videos/text2video"
        self.http = httpx.Client(transport=world.transport, headers=headers or world.kling.credentials)

    def ask(self, prompt: str = "A paper boat", **more: Any) -> httpx.Response:
        return self.http.post(self.base, json={"prompt": prompt, **more})

    def make(self, prompt: str = "A paper boat", **more: Any) -> str:
        answer = self.ask(prompt, **more)
        assert answer.status_code == 200, answer.text
        task: str = answer.json()["data"]["task_id"]
        return task

    def read(self, task: str) -> httpx.Response:
        return self.http.get(f"{self.base}/{task}")

    def state(self, task: str) -> str:
        state: str = self.read(task).json()["data"]["task_status"]
        return state
