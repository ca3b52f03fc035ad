#!/usr/bin/env bash
# Prints what a fleet of simulated gateways in one process costs on this machine, beside its aim: memory
# when all are connected, and after all have been upgraded. Prints only; machines differ.
set -euo pipefail
cd "$(dirname "$0")/.."

gateways=${GATEWAYS:-5000}
image_bytes=20000
minutes_max=15

cargo build --release --quiet --bins --package airlift --package airlift-gateway
folder=$(mktemp -d)
trap 'kill "${fleet:-0}" "${server:-0}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
port=${PORT:-18118}
url=http://127.0.0.1:$port

answer() { curl --silent --show-error --fail --output /dev/null "$@"; }
memory_mib() { awk -v key="$1:" '$1 == key {print int($2 / 1024)}' "/proc/$fleet/status"; }
wait_for() {
    local until=$((SECONDS + 60 * minutes_max))
    until [ "$("$1")" -ge "$gateways" ]; do
        if [ "$SECONDS" -ge "$until" ]; then
            echo "fleet.sh: after $minutes_max minutes only $("$1") of $gateways: $1" >&2
            exit 1
        fi
        sleep 1
    done
}
gateways_that() { grep "\"event\":\"$1\"" "$folder/fleet.log" | grep -o '"gatewayId":"[^"]*"' | sort -u | wc -l; }
connected() { gateways_that connected; }
confirmed() { gateways_that confirmed; }

ulimit -n "$(ulimit -Hn)"
target/release/airlift serve --listen "127.0.0.1:$port" --mqtt-listen "127.0.0.1:$((port + 1))" \
    --public-url "$url" --data-dir "$folder/data" --log warn > "$folder/server.log" 2>&1 &
server=$!
until answer "$url/readyz" 2>/dev/null; do sleep 0.1; done
target/release/airlift-gateway --id FLEET --fleet "$gateways" --mqtt "mqtt://127.0.0.1:$((port + 1))" \
    --flash "$folder/fleet/gateway.img" --log json > "$folder/fleet.log" &
fleet=$!
wait_for connected
printf 'memory of %s gateways, connected: %5s MiB  (aim: under 500)\n' "$gateways" "$(memory_mib VmRSS)"

head -c "$image_bytes" /dev/urandom > "$folder/image"
answer -F "file=@$folder/image" -F version=1.0.2 "$url/api/ota/firmware/upload"
answer -X POST "$url/api/ota/firmware/1.0.2/release"
began=$SECONDS
for number in $(seq -f %04g 1 "$gateways"); do
    printf 'url = "%s/api/ota/upgrade/FLEET-%s"\noutput = /dev/null\n' "$url" "$number"
done | curl --silent --no-progress-meter --parallel --parallel-max 16 -X POST --config -
wait_for confirmed
printf 'highest, all upgraded to %s bytes: %5s MiB  (aim: under 500), %s s from the first trigger\n' \
    "$image_bytes" "$(memory_mib VmHWM)" "$((SECONDS - began))"
