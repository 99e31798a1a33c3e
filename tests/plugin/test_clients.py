"""The HTTP clients that people use, in a suite of a user."""

from __future__ import annotations

from tests.plugin.conftest import Suite

SUITE = """
    import asyncio
    import json
    import threading
    import urllib.error
    import urllib.request

    import aiohttp
    import httpx
    import pytest
    import requests

    BODY = {"prompt": "A paper boat"}


    def with_urllib(url, headers, body):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {**headers, "Content-Type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return json.load(answer)


    def with_requests(url, headers, body):
        with requests.Session() as session:
            session.trust_env = False
            session.headers.update(headers)
            return session.request("GET" if body is None else "POST", url, json=body).json()


    def with_httpx(url, headers, body):
        with httpx.Client(headers=headers, trust_env=False) as http:
            return http.request("GET" if body is None else "POST", url, json=body).json()


    def with_httpx_async(url, headers, body):
        async def run():
            async with httpx.AsyncClient(headers=headers, trust_env=False) as http:
                return (await http.request("GET" if body is None else "POST", url, json=body)).json()

        return asyncio.run(run())


    def with_aiohttp(url, headers, body):
        async def run():
            async with aiohttp.ClientSession(headers=headers) as session:
                async with session.request("GET" if body is None else "POST", url, json=body) as answer:
                    return await answer.json()

        return asyncio.run(run())


    CLIENTS = [with_urllib, with_requests, with_httpx, with_httpx_async, with_aiohttp]


    @pytest.mark.parametrize("call", CLIENTS)
    def test_a_video_is_made(understudy, call):
        url = understudy.kling.base_url + "/v1/videos/text2video"
        headers = understudy.kling.credentials
        task = call(url, headers, BODY)["data"]["task_id"]
        assert "submitted" == call(f"{url}/{task}", headers, None)["data"]["task_status"]

        understudy.clock.advance("PT5M")

        assert "succeed" == call(f"{url}/{task}", headers, None)["data"]["task_status"]
        understudy.assert_no_violations()
        assert 3 == len(understudy.requests)


    @pytest.mark.parametrize("is_async", [False, True])
    def test_a_video_is_made_without_a_socket(understudy, is_async):
        url = understudy.kling.base_url + "/v1/videos/text2video"

        async def run():
            async with httpx.AsyncClient(
                transport=understudy.transport, headers=understudy.kling.credentials
            ) as http:
                return (await http.post(url, json=BODY)).json()

        if is_async:
            made = asyncio.run(run())
        else:
            with httpx.Client(transport=understudy.transport, headers=understudy.kling.credentials) as http:
                made = http.post(url, json=BODY).json()
        assert [made["data"]["task_id"]] == [task.id for task in understudy.tasks]


    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_an_async_test_has_a_world_too(understudy, anyio_backend):
        url = understudy.kling.base_url + "/v1/videos/text2video"
        async with aiohttp.ClientSession(headers=understudy.kling.credentials) as session:
            async with session.post(url, json={**BODY, "callback_url": understudy.inbox.url}) as answer:
                assert 200 == answer.status
        await understudy.clock.async_sleep(300)
        assert 2 == len(understudy.inbox.calls)
        assert understudy.inbox.wait_for(2).is_verified
"""


def test_every_client_finds_its_world(suite: Suite) -> None:
    suite.write(test_clients=SUITE)

    suite.run("-p", "anyio").assert_outcomes(passed=8)
