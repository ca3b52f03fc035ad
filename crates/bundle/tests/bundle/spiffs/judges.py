"""What others make of a SPIFFS image: ESP-IDF's own generator, and a reader; both come with idftool.

Reads a line of JSON per image: {"image": path, "size": bytes, "files": [[name, path], ...]}.
Answers in a line of JSON: the SHA-256 of what ESP-IDF's generator makes of the same files in the same
order ("full" if they do not fit), and, if there is an image, the files that the reader finds in it.
"""

import hashlib
import json
import pathlib
import sys

from idftool.fs import spiffs, spiffsgen

BLOCK_BYTES = 4096


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def generated(size, files):
    # The defaults of spiffsgen.py's command line.
    settings = spiffsgen.SpiffsBuildConfig(
        page_size=256, page_ix_len=2, block_size=BLOCK_BYTES, block_ix_len=2, meta_len=4,
        obj_name_len=32, obj_id_len=2, span_ix_len=2, packed=True, aligned=True,
        endianness='little', use_magic=True, use_magic_len=True, aligned_obj_ix_tables=False)
    system = spiffsgen.SpiffsFS(size, settings)
    try:
        for name, path in files:
            system.create_file(name, path)
    except spiffsgen.SpiffsFullError:
        return 'full'
    return sha256(system.to_binary())


def read(path):
    image = pathlib.Path(path).read_bytes()
    volume = spiffs.mount(image)
    files = [['/' + it.path, it.size, sha256(volume.read(it))] for it in volume.entries()]
    return {'is_detected': spiffs.detect(image, page_size=256), 'files': files}


for line in sys.stdin:
    asked = json.loads(line)
    answer = {'generated': generated(asked['size'], asked['files'])}
    if asked['image']:
        answer |= read(asked['image'])
    print(json.dumps(answer), flush=True)
