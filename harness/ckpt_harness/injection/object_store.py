"""Second addresses of an object store, where requests fail as the plan says: proxies between a storage's own client and the store.

Every HTTP client works, in Python, Rust or C, since the client only receives another address. Where no fault strikes, every byte passes as it comes,
whatever the method is. Each rank has its own address, which is how the harness knows the rank that sends a request. :class:`FaultyEndpoint` is for any
test; :func:`endpoints` and :func:`reach` do the same for the cases of a rig.

Time at these sites is real in every world: the timeouts and retries are the client's own.

Not modelled: TLS between the client and this address, and a client that several ranks share. A request that a rank of an earlier case left unfinished
may count as a request of the next case.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from ckpt_harness import runtime
from ckpt_harness.errors import PlanError, UsageError, choices, quoted
from ckpt_harness.faults.plan import FaultPlan, as_plan
from ckpt_harness.faults.sites import SITES
from ckpt_harness.injection.arrival import Firing
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.proxy import Proxy
from ckpt_harness.injection.wrapper import check_world


class FaultyEndpoint:
    """A second address of an object store, where requests fail as the plan says.

    Use it as a context manager, and pass ``url`` to the client of the storage.

    Args:
        upstream: the address of the store, such as ``http://127.0.0.1:9000``.
        plan: the faults, or their text, in which the prefix ``http.`` may be left out; empty for an address that injects nothing.
        rank: the caller's rank in the world, where neither a process group nor the launcher provides it.

    Attributes:
        url: the address to pass to the client, while the endpoint is open.
        plan: the plan.
        fired: the faults that fired so far.

    Raises:
        PlanError: the plan is malformed, or could never act here.
        UsageError: ``upstream`` is no address.

    Example:
        >>> import http.client
        >>> with FaultyEndpoint("http://127.0.0.1:9000", "put@0=status(503,SlowDown)") as store:
        ...     client = http.client.HTTPConnection(store.url.removeprefix("http://"))
        ...     client.request("PUT", "/bucket/step-1/.metadata", b"data")
        ...     client.getresponse().status
        503
        >>> client.close()
        >>> [firing.fault for firing in store.fired]
        ['http.put@0=status(503,SlowDown)']

        The same with a storage of torch:

        >>> with FaultyEndpoint("http://127.0.0.1:9000", "put(*.distcp)@0#1x2=status(503,SlowDown)") as store:  # doctest: +SKIP
        ...     writer = FsspecWriter("s3://bucket/step-1", endpoint_url=store.url, key="k", secret="s")
        ...     dcp.save(state, storage_writer=writer)
    """

    def __init__(self, upstream: str, plan: FaultPlan | str = "", *, rank: int | None = None) -> None:
        self.plan = as_plan(plan, side="http")
        for fault in self.plan:
            if fault.at.layer != "network":
                requests = [name for name, site in SITES.items() if site.layer == "network"]
                raise PlanError(f"FaultyEndpoint has no site {quoted(fault.site)}; {choices(requests, fault.site, see='ckpt-harness sites')}")
            if fault.operation is not None:
                raise PlanError(f"fault {fault}: a request does not show its operation; leave the operation out")
        check_world(self.plan)
        self._upstream = _checked(upstream)
        self._rank = rank
        self._faults = Injector(self.plan)
        self._proxy: Proxy | None = None

    @property
    def url(self) -> str:
        """The address, while the endpoint is open.

        Raises:
            UsageError: the endpoint is not open.
        """
        if self._proxy is None:
            raise UsageError("the endpoint has no address before it is opened: use it as a context manager")
        return self._proxy.url

    @property
    def fired(self) -> tuple[Firing, ...]:
        """The faults that fired so far, in order; empty, and so false, if none did."""
        return self._faults.fired

    def __enter__(self) -> FaultyEndpoint:  # noqa: PYI034  (Self is not in typing before Python 3.11)
        rank = runtime.current().rank() if self._rank is None else self._rank
        self._proxy = Proxy()
        self._proxy.serve_for(self._faults.of_rank(rank))
        self._proxy.upstream = self._upstream
        return self

    def __exit__(self, *_: object) -> None:
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            proxy.close()


_proxies: dict[int, Proxy] = {}
"""Rank -> its proxy. Proxies are kept from case to case, since clients and their connections are kept as well."""


@contextlib.contextmanager
def endpoints(injector: Injector, ranks: Iterable[int]) -> Iterator[None]:
    """Until the end of the ``with`` block, :func:`reach` returns addresses where the injector's faults strike, if the injector watches the network.

    Args:
        injector: the injector of the case.
        ranks: the ranks that run in this process.
    """
    opened = []
    for rank in ranks if injector.watches_network else ():
        proxy = _proxies.get(rank) or _proxies.setdefault(rank, Proxy())
        proxy.serve_for(injector.of_rank(rank))
        opened.append(proxy)
    try:
        yield
    finally:
        for proxy in opened:
            proxy.serve_for(None)


def reach(upstream: str) -> str:
    """The address under which the client of the calling rank should reach an object store.

    An engine calls it where it makes the client of its storage, so that the faults of a case can strike the client's requests.

    Args:
        upstream: the store's own address.

    Returns:
        An address where the faults of the running case strike, if the case watches the network; else ``upstream``.

    Raises:
        UsageError: ``upstream`` is no address, and a case watches the network.

    Example:
        >>> reach("http://127.0.0.1:9000")  # no case is running
        'http://127.0.0.1:9000'
    """
    proxy = _proxies.get(runtime.current().rank())
    if proxy is None or proxy.injector is None:
        return upstream
    proxy.upstream = _checked(upstream)
    return proxy.url


def _checked(upstream: str) -> str:
    parts = urlsplit(upstream)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{quoted(upstream)} is no address of a store; valid: http://host:port or https://host:port")
    return upstream
