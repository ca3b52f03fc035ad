"""For schemathesis: what a server that asks for credentials answers to who shows none."""

import schemathesis

SIGNED_URL = "who has a signed URL"
# Refused before anybody is asked who it is: no such address, no such method, an address that can't be read.
NOT_ROUTED = {400, 404, 405}


@schemathesis.check
def asks_for_credentials(ctx, response, case):
    needs = case.operation.definition.raw.get("x-needs")
    if needs is None:
        return
    status = response.status_code
    if SIGNED_URL in needs:
        assert not 200 <= status < 300, f"{status} without a signed URL"
    else:
        assert status in {401, 403} | NOT_ROUTED, f"{status} without a token"
