#!/usr/bin/env bash
# Prints what access costs: the rate of the task poll on a server without credentials and, in the same
# run and in turns, on one that asks for a token. Beside it the aim. Prints only; machines differ.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --quiet --bin airlift
cargo build --release --quiet -p airlift-testkit --example poll_rate
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT
port=${PORT:-18118}
airlift=target/release/airlift

# One server at a time has the machine to itself: the other waits for requests.
for name in open closed; do
    [ "$name" = open ] && http=$port || http=$((port + 2))
    if [ "$name" = closed ]; then
        token=$("$airlift" token create --role admin --name bench --data-dir "$folder/$name" 2>/dev/null | tail -n 1)
    fi
    "$airlift" serve --listen "127.0.0.1:$http" --mqtt-listen "127.0.0.1:$((http + 1))" \
        --public-url "http://127.0.0.1:$http" --data-dir "$folder/$name" --log warn &
    servers+=("$!")
    until curl --silent --fail --output /dev/null "http://127.0.0.1:$http/readyz"; do sleep 0.05; done
    authorization=()
    [ "$name" = open ] || authorization=(-H "Authorization: Bearer $token")
    head -c 100000 /dev/urandom > "$folder/image"
    ask() { curl --silent --fail --output /dev/null "${authorization[@]}" "$@"; }
    ask -F "file=@$folder/image" -F version=1.0.2 "http://127.0.0.1:$http/api/ota/firmware/upload"
    ask -X POST "http://127.0.0.1:$http/api/ota/firmware/1.0.2/release"
    ask -X POST "http://127.0.0.1:$http/api/ota/upgrade/BENCH"
done

target/release/examples/poll_rate "${CONNECTIONS:-64}" "${SECONDS_EACH:-3}" "${ROUNDS:-7}" \
    "without=127.0.0.1:$port/api/ota/task/BENCH" \
    "with_token=127.0.0.1:$((port + 2))/api/ota/task/BENCH=$token"
echo 'aim: overFirst of with_token at least 0.9'
