#!/bin/sh
# Makes the bucket. `weed shell` ends with 0 whatever happened, so the list of buckets is asked.
set -eu

: "${BUCKET:?is not set}"
attempts_max=30
pause_seconds=2

shell() { weed shell -master=s3:9333 -filer=s3:8888 2>&1; }

attempt=0
while [ "$attempt" -lt "$attempts_max" ]; do
    attempt=$((attempt + 1))
    if echo 's3.bucket.list' | shell | grep -qw "$BUCKET"; then
        echo "the bucket $BUCKET is there"
        exit 0
    fi
    echo "s3.bucket.create -name $BUCKET" | shell || true
    sleep "$pause_seconds"
done
echo "the bucket $BUCKET could not be made" >&2
exit 1
