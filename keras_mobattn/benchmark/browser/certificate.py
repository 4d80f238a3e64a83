"""A certificate made on the spot: without HTTPS a browser gives a page neither camera, threads nor WebGPU."""

import contextlib
import datetime
import os
import tempfile
from pathlib import Path

from keras_mobattn._packages import needs

# Apple and Chrome allow 398 days in all. The day before is for phones whose clock is behind.
BEFORE, AFTER = datetime.timedelta(days=1), datetime.timedelta(days=30)
NAME = "mobattn serve"


@contextlib.contextmanager
def make_certificate(hosts):
    """Yield the paths (certificate, key) of a new certificate for some IP addresses and names, in PEM; after the block
    they are gone.

    The certificate's file has the authority's behind it, for a client that can be told to trust one; the authority's
    key is written nowhere, so that it can vouch for nothing else.

    Raises:
        InputError: the package trustme is missing.
    """
    needs("trustme")
    import trustme

    now = datetime.datetime.now(datetime.UTC)
    authority = trustme.CA(organization_name=NAME)
    issued = authority.issue_cert(
        *hosts, common_name=NAME, organization_name=NAME, not_before=now - BEFORE, not_after=now + AFTER
    )
    chain = [*issued.cert_chain_pems, authority.cert_pem]
    with tempfile.TemporaryDirectory(prefix="mobattn-") as folder:
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        certificate.write_bytes(b"".join(each.bytes() for each in chain))
        with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # for the user alone
            file.write(issued.private_key_pem.bytes())
        yield certificate, key
