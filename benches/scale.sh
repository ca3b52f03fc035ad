#!/usr/bin/env bash
# Prints how long the release server takes over a large fleet on this machine, on PostgreSQL and on SQLite,
# beside its aims and beside the same SQL sent by psql or sqlite3: first page and count of filters, pages behind almost
# all, who runs what, a rollout's dry run, a list that tags many gateways, the list of all of them. Prints only; machines differ.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

# Nine of ten are of the type that the rollout is for.
gateways_postgres=${GATEWAYS_POSTGRES:-1112000}
gateways_sqlite=${GATEWAYS_SQLITE:-112000}
lines=${LINES_OF_LIST:-100000}
# Of several asks the quickest counts: the first one finds nothing in memory.
asks=5
target=${CARGO_TARGET_DIR:-target}

cargo build --release --quiet --bin airlift
cargo build --quiet --package airlift-testkit --example postgres_for_tests
folder=$(mktemp -d)
trap 'kill "${server:-0}" 2>/dev/null || true; wait "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
port=${PORT:-18218}
url=http://127.0.0.1:$port

answer() { curl --silent --show-error --fail "$@"; }
now_ms() { date +%s%3N; }
memory_mib() { awk -v key="$1:" '$1 == key {print int($2 / 1024)}' "/proc/$server/status"; }

# start DATABASE_URL: returns when the server is ready.
start() {
    "$target/release/airlift" serve --listen "127.0.0.1:$port" --mqtt-listen "127.0.0.1:$((port + 1))" \
        --data-dir "$folder/data" --database-url "$1" --log warn &
    server=$!
    until answer --output /dev/null "$url/readyz" 2>/dev/null; do
        kill -0 "$server"
        sleep 0.01
    done
}

stop() {
    kill "$server"
    wait "$server" || true
}

# Fills an empty database with the rows of an older airlift: what it did not keep, the next start computes.
# Of 100 gateways 90 are esp32, 5 run 1.0.0, 40 run 1.0.1, 1 never said; of 100 sites one is lab.
fill_postgres() {
    sql <<SQL
CREATE FUNCTION dice(what text, n bigint) RETURNS int LANGUAGE sql IMMUTABLE
AS 'SELECT (''x'' || substr(md5(what || n), 1, 6))::bit(24)::int % 100';
INSERT INTO gateways (gateway_id, device_type, current_version, online, last_seen_at, attributes, tags,
    created_at, updated_at)
SELECT 'GW' || lpad(n::text, 7, '0'), CASE WHEN dice('t', n) < 90 THEN 'esp32' ELSE 'gateway' END,
    CASE WHEN n % 50000 = 7 THEN '0.9.0' WHEN dice('v', n) < 5 THEN '1.0.0'
        WHEN dice('v', n) < 45 THEN '1.0.1' WHEN dice('v', n) < 46 THEN NULL ELSE '1.0.2' END,
    dice('o', n) < 95, now(),
    jsonb_build_object('battery', dice('b', n), 'freeHeap', 123456, 'bootReason', repeat('x', 150)),
    jsonb_build_object('site', CASE dice('s', n) WHEN 0 THEN 'lab' ELSE 'site' || dice('s', n) END,
        'region', 'r' || (n % 5)) || CASE n % 50000 WHEN 8 THEN '{"canary":"yes"}'::jsonb ELSE '{}' END,
    now(), now()
FROM generate_series(1, $1) AS n;
INSERT INTO gateway_tags SELECT gateway_id, key, value FROM gateways, jsonb_each_text(tags);
VACUUM ANALYZE;
SQL
}

fill_sqlite() {
    sql <<SQL
INSERT INTO gateways (gateway_id, device_type, current_version, online, last_seen_at, attributes, tags,
    created_at, updated_at)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1),
    dice AS MATERIALIZED (SELECT n, abs(random() % 100) AS t, abs(random() % 100) AS v, abs(random() % 100) AS s FROM numbers)
SELECT printf('GW%07d', n), CASE WHEN t < 90 THEN 'esp32' ELSE 'gateway' END,
    CASE WHEN n % 5000 = 7 THEN '0.9.0' WHEN v < 5 THEN '1.0.0' WHEN v < 45 THEN '1.0.1'
        WHEN v < 46 THEN NULL ELSE '1.0.2' END,
    abs(random() % 100) < 95, '2026-03-01T08:00:00+00:00',
    json_object('battery', t, 'freeHeap', 123456, 'bootReason', printf('%0150d', n)),
    json_patch(json_object('site', CASE s WHEN 0 THEN 'lab' ELSE 'site' || s END, 'region', 'r' || (n % 5)),
        CASE n % 5000 WHEN 8 THEN '{"canary":"yes"}' ELSE '{}' END),
    '2026-03-01T08:00:00+00:00', '2026-03-01T08:00:00+00:00'
FROM dice;
INSERT INTO gateway_tags SELECT gateway_id, key, value FROM gateways, json_each(tags);
SQL
}

# ask FILTER PARAMETERS: milliseconds of the quickest answer.
ask() {
    for _ in $(seq "$asks"); do
        answer --output "$folder/answer" --get "$url/api/ota/gateways" --data-urlencode "filter=$1" \
            --data "$2" --write-out '%{time_total}\n'
    done | sort -g | awk 'NR == 1 {printf "%.1f", $1 * 1000}'
}

# plain SQL: milliseconds of the quickest of the same SELECT without a server in between.
plain() {
    for _ in $(seq "$asks"); do timed_sql "$1"; done | sort -g | head -1
}

# compare FILTER CONDITION
compare() {
    local page count page_ms count_ms page_plain count_plain
    page="SELECT * FROM gateways AS g WHERE g.gateway_id > '' AND $2 ORDER BY g.gateway_id LIMIT 51"
    count="SELECT COUNT(*) FROM gateways AS g WHERE $2"
    page_ms=$(ask "$1" limit=50)
    page_plain=$(plain "$page")
    count_ms=$(ask "$1" 'limit=1&count=true')
    count_plain=$(plain "$count")
    printf '%-44s %9s ms  (plain %9s ms)   %9s ms  (plain %9s ms)  %9s\n' "${1:-all}" \
        "$page_ms" "$page_plain" "$count_ms" "$count_plain" \
        "$(grep -o '"total":[0-9]*' "$folder/answer" | cut -d: -f2)"
}

tag() { echo "EXISTS (SELECT 1 FROM gateway_tags AS t WHERE t.gateway_id = g.gateway_id AND t.key = '$1' AND t.value = '$2')"; }

# The version keys are what domain::version_key makes of the versions.
compare_all() {
    printf '%-44s %-35s   %-35s  %9s\n' filter 'first page (aim: under 50 ms)' count found
    compare '' 'TRUE'
    compare 'tag:site=lab version<1.0.2 online:true' "$(tag site lab) AND g.version_key < 'b1b0b2~' AND g.online = TRUE"
    compare 'tag:site=lab' "$(tag site lab)"
    compare 'tag:canary=yes' "$(tag canary yes)"
    compare 'tag:site=nowhere' "$(tag site nowhere)"
    compare 'tag:region=r3 tag:canary=yes' "$(tag region r3) AND $(tag canary yes)"
    compare 'version<1.0.2' "g.version_key < 'b1b0b2~'"
    compare 'version<1.0.0' "g.version_key < 'b1b0b0~'"
    compare 'version>2.0.0' "g.version_key > 'b2b0b0~'"
    compare 'version:unknown' 'g.version_key IS NULL'
    compare 'online:true' 'g.online = TRUE'
    compare 'online:false' 'g.online = FALSE'
    compare 'type:esp32' "g.device_type = 'esp32'"
    compare 'id:GW0009*' "g.gateway_id >= 'GW0009' AND g.gateway_id < 'GW000:'"
}

# took_ms PATH: milliseconds of the quickest answer.
took_ms() {
    for _ in $(seq "$asks"); do
        answer --output "$folder/answer" "$url$1" --write-out '%{time_total}\n'
    done | sort -g | awk 'NR == 1 {printf "%.1f", $1 * 1000}'
}

# Pages behind almost all gateways, as a table shows that is scrolled by hand, and who runs what.
overview() {
    local list=/api/ota/gateways
    printf 'page behind %s gateways: %s ms; of those online, behind %s: %s ms  (aim: under 50)\n' \
        "$(($1 - 100))" "$(took_ms "$list?limit=50&offset=$(($1 - 100))")" \
        "$(($1 * 9 / 10))" "$(took_ms "$list?limit=50&online=true&offset=$(($1 * 9 / 10))")"
    printf 'who runs what, of all: %s ms, of one site: %s ms  (aim: under 500)\n' \
        "$(took_ms /api/ota/statistics/gateways)" \
        "$(took_ms '/api/ota/statistics/gateways?filter=tag:site=lab')"
}

# A list that tags gateways from the first on, in an order of its own, and half of them once more.
lists() {
    local began before
    awk -v lines="$lines" 'BEGIN {
        print "gatewayId,week,rack"
        for (n = lines; n > 0; n--) printf "GW%07d,w%d,r%d\n", n, n % 52, n % 40
    }' > "$folder/list.csv"
    echo 5 > "/proc/$server/clear_refs" 2>/dev/null || true
    before=$(memory_mib VmRSS)
    began=$(now_ms)
    answer --output /dev/null -H 'Content-Type: text/csv' --data-binary "@$folder/list.csv" "$url/api/ota/gateways/tags"
    printf 'list of %s lines taken in %s ms, memory %s MiB before, %s MiB at its peak  (aim: under 100 more)\n' \
        "$lines" "$(($(now_ms) - began))" "$before" "$(memory_mib VmHWM)"
    echo 5 > "/proc/$server/clear_refs" 2>/dev/null || true
    before=$(memory_mib VmRSS)
    began=$(now_ms)
    answer --output "$folder/export.csv" "$url/api/ota/gateways.csv"
    printf 'list of %s gateways given in %s ms, memory %s MiB before, %s MiB at its peak  (aim: under 30 more)\n' \
        "$(($(wc -l < "$folder/export.csv") - 1))" "$(($(now_ms) - began))" "$before" "$(memory_mib VmHWM)"
    began=$(now_ms)
    sql <<< 'SELECT * FROM gateways ORDER BY gateway_id' > "$folder/plain"
    printf '  beside it, the plain SELECT: %s ms\n' "$(($(now_ms) - began))"
}

# Who would get a rollout to every esp32; airlift-load measures rollouts that are carried out.
dry_run() {
    local began
    printf 'firmware' > "$folder/firmware.bin"
    answer --output /dev/null -F "file=@$folder/firmware.bin" -F version=1.0.3 -F deviceType=esp32 \
        "$url/api/ota/firmware/upload"
    answer --output /dev/null -X POST "$url/api/ota/firmware/1.0.3/release?deviceType=esp32"
    began=$(now_ms)
    answer --output /dev/null -H 'Content-Type: application/json' "$url/api/ota/rollouts/dry-run" \
        --data '{"version":"1.0.3","deviceType":"esp32","waves":[10,50,100]}'
    printf 'a dry run of a rollout: %s ms\n' "$(($(now_ms) - began))"
}

# bench NAME GATEWAYS DATABASE_URL
bench() {
    local began
    printf '\n%s, %s gateways\n' "$1" "$2"
    start "$3"
    stop
    "fill_$1" "$2"
    began=$(now_ms)
    start "$3"
    printf 'first start over rows of an older version: %s ms\n' "$(($(now_ms) - began))"
    [ "$1" = sqlite ] || sql <<< 'VACUUM ANALYZE gateways'
    compare_all
    overview "$2"
    dry_run
    lists
    stop
    rm -rf "$folder/data"
}

coproc cluster { exec "$target/debug/examples/postgres_for_tests"; }
read -r postgres <&"${cluster[0]}"
sql() { psql --quiet --no-psqlrc --tuples-only --set ON_ERROR_STOP=1 "$postgres"; }
timed_sql() { printf '\\timing on\n\\o /dev/null\n%s;\n' "$1" | sql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'; }
bench postgres "$gateways_postgres" "$postgres"

mkdir "$folder/sqlite"
sql() { sqlite3 -batch -cmd '.timeout 60000' "$folder/sqlite/airlift.db"; }
timed_sql() {
    printf '.output /dev/null\n.timer on\n%s;\n' "$1" | sql |
        sed -n 's/^Run Time: real \([0-9.]*\).*/\1/p' | awk '{printf "%.1f\n", $1 * 1000}'
}
bench sqlite "$gateways_sqlite" "sqlite:$folder/sqlite/airlift.db"
