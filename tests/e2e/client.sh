#!/bin/sh
# A program with curl: sh client.sh BASE KEY HOOK FILE
set -eu
videos="$1/v1/ai/video/kling-4k-t2v"
key="x-magnific-api-key: $2"

task=$(curl -sSf "$videos" -H "$key" -H 'Content-Type: application/json' \
  -d "{\"prompt\": \"A paper boat\", \"duration\": 5, \"webhook_url\": \"$3\"}")
id=$(echo "$task" | grep -o '"task_id":"[^"]*"' | cut -d '"' -f 4)
until echo "$task" | grep -Eq '"status":"(COMPLETED|FAILED)"'; do
  task=$(curl -sSf "$videos/$id" -H "$key")
done
curl -sSf -o "$4" "$(echo "$task" | grep -o 'http[^"]*mp4')"
echo "$id"
