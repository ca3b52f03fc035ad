#!/usr/bin/env bash
# Prints what the release server costs on this machine, beside its aims: time to the first answer,
# idle memory, and the memory an upload of 1 GB adds. Prints only; machines differ.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --quiet --bin airlift
folder=$(mktemp -d)
trap 'kill "${server:-0}" 2>/dev/null || true; rm -rf "$folder"' EXIT
port=${PORT:-18018}
url=http://127.0.0.1:$port

now_ms() { date +%s%3N; }
memory_kb() { awk -v key="$1:" '$1 == key {print $2}' "/proc/$server/status"; }
start() {
    target/release/airlift serve --listen "127.0.0.1:$port" --mqtt-listen "127.0.0.1:$((port + 1))" \
        --data-dir "$folder/data" --log warn &
    server=$!
    began=$(now_ms)
    until curl --silent --fail --output /dev/null "$url/healthz"; do sleep 0.005; done
    echo "$(($(now_ms) - began))"
}

for run in first second third; do
    start > "$folder/ms"
    printf 'first answer, %s start: %5s ms   (aim: under 300)\n' "$run" "$(cat "$folder/ms")"
    [ "$run" = third ] || { kill "$server"; wait "$server" || true; }
done

until curl --silent --fail --output /dev/null "$url/readyz"; do sleep 0.1; done
sleep 5
idle=$(memory_kb VmRSS)
printf 'idle memory:                %5s MiB  (aim: under 40)\n' "$((idle / 1024))"

dd if=/dev/urandom of="$folder/image" bs=1M count=1024 status=none
echo 5 > "/proc/$server/clear_refs" 2>/dev/null || true
before=$(memory_kb VmRSS)
began=$(now_ms)
curl --silent --show-error --fail --output /dev/null \
    -F "file=@$folder/image" -F version=1.0.0 "$url/api/ota/firmware/upload"
took=$(($(now_ms) - began))
peak=$(memory_kb VmHWM)
printf 'upload of 1 GB:             %5s MiB more at its peak  (aim: under 30), %s ms\n' \
    "$(((peak - before) / 1024))" "$took"
sync "$folder/image"
began=$(now_ms)
dd if="$folder/image" of="$folder/copy" bs=1M conv=fsync status=none
printf '  beside it, cp of the same file to the same disk with fsync: %s ms\n' "$(($(now_ms) - began))"
began=$(now_ms)
sha256sum "$folder/image" > /dev/null
md5sum "$folder/image" > /dev/null
printf '  beside it, sha256sum and md5sum of it: %s ms\n' "$(($(now_ms) - began))"
