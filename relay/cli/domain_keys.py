"""Which domain a command names, and which keys count for it: the configuration's, else those that are kept.

A domain may be written with U-labels and a last dot; it is meant in lower-case A-labels. Fails with `Usage`
(no domain), `NothingMatched` (no keys), or `Failure` (keys that are changed elsewhere, or cannot be read).
"""

import argparse
from collections.abc import Sequence

from relay.address import Address
from relay.cli.database import configuration, opened
from relay.cli.failures import Failure, NothingMatched, Usage
from relay.config import Config
from relay.config_addresses import host_name
from relay.signing_key import SigningKey, State


def named(args: argparse.Namespace) -> str:
    """The domain of the command, in lower-case A-labels; also put into `args`."""
    try:
        args.domain = host_name(Address("", args.domain.removesuffix(".")).destination)
    except ValueError as error:
        raise Usage(str(error)) from None
    if "." not in args.domain:
        raise Usage(f"{args.domain} is no domain that mail comes from", "like example.com")
    return str(args.domain)


async def known(args: argparse.Namespace) -> tuple[str, list[SigningKey]]:
    """The domain of the command and the keys that count for it: the configuration's, else those kept."""
    domain, config = named(args), configuration(args)
    if own := keys_of(domain, configured_keys(config)):
        return domain, own
    async with opened(args) as store:
        return domain, found(domain, await store.signing_keys(), config)


def keys_of(domain: str, keys: Sequence[SigningKey]) -> list[SigningKey]:
    """Those of one domain."""
    return [key for key in keys if key.domain == domain]


def configured_keys(config: Config) -> list[SigningKey]:
    """The keys of the configuration, as if they were kept here. Raises `Failure` for a file that cannot be read."""
    if not config.dkim:
        return []
    from relay.private_key import BadKey, algorithm_of, public_half, read

    keys = []
    for one in config.dkim:
        try:
            private = read(one.key_file.read_bytes())
            made = one.key_file.stat().st_mtime
        except (BadKey, OSError) as error:
            raise Failure(f"cannot read the key file {one.key_file}: {error}") from None
        algorithm = algorithm_of(private)
        keys.append(SigningKey(one.domain, one.selector, algorithm, State.ACTIVE, public_half(private), made, made))
    return keys


def found(domain: str, kept: Sequence[SigningKey], config: Config) -> list[SigningKey]:
    """The domain's keys among those kept, one at least. Raises `Failure` where there is none to work with."""
    if keys := keys_of(domain, kept):
        return keys
    if any(one.domain == domain for one in config.dkim):
        raise Failure(f"the key of {domain} is in the configuration", f'change [dkim."{domain}"] there')
    raise NothingMatched(f"there is no domain {domain}", f"mailtrail domain add {domain}")
