"""Asking by HTTP: one question, one answer, over connections that are kept for the next one.

Owns the pools of connections. It follows no redirects, repeats nothing, and knows no credentials.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import IO, cast

from urllib3 import PoolManager, ProxyManager, Timeout
from urllib3.exceptions import HTTPError, LocationValueError, NameResolutionError, SSLError

from layerstore.images.registry.stop import Stop
from layerstore.images.registry.wire.answers import Answer, BrokenAnswer, broken_by, shown
from layerstore.images.registry.wire.connections import POOLS, Exchange
from layerstore.images.registry.wire.patience import Patience
from layerstore.images.registry.wire.proxies import Proxies, login_of
from layerstore.images.registry.wire.tls import Trust, Unusable, tls_context

Body = bytes | IO[bytes] | Iterable[bytes | bytearray | memoryview]
_KEPT = 16
"""Connections to one host that are kept; more are made and not kept."""


class Unreachable(BrokenAnswer):
    """Another attempt won't help: there is no such host, or it is another than it should be."""


class Transport:
    """Connections to any number of hosts, for any number of threads."""

    __slots__ = ("_managers", "_patience", "_proxies")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._managers: dict[tuple[Trust | None, str | None], PoolManager] = {}
        self._proxies = Proxies()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        trust: Trust,
        body: Body | None,
        stop: Stop,
    ) -> Answer:
        """Ask once, until the stop is told; raises BrokenAnswer, Unreachable, Unusable."""
        patience = self._patience
        manager = self._manager(trust, url)
        try:
            with Exchange(stop, patience):
                response = manager.request(
                    method,
                    url,
                    headers=dict(headers),
                    body=cast("bytes | None", body),  # it sends whatever has bytes
                    retries=False,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                    timeout=Timeout(connect=patience.connect, read=patience.silence),
                )
        except (SSLError, ssl.SSLError) as error:
            raise _tls_failure(error) from error
        except (NameResolutionError, LocationValueError) as error:
            kind = BrokenAnswer if _is_passing(error.__cause__) else Unreachable
            raise kind(broken_by(error)) from error
        except (HTTPError, OSError) as error:
            raise BrokenAnswer(broken_by(error)) from error
        return Answer(response, url)

    def close(self) -> None:
        """Close all connections that wait for the next question."""
        while self._managers:
            _, manager = self._managers.popitem()
            # `clear` leaves that to who collects garbage, for whom an error may hold a pool back.
            for key in manager.pools.keys():  # noqa: SIM118 - it can't be iterated over
                manager.pools[key].close()

    def _manager(self, trust: Trust, url: str) -> PoolManager:
        proxy = self._proxies.for_url(url)
        # Most of what a context costs is reading the system's authorities.
        key = (trust if "https://" in (url[:8], (proxy or "")[:8]) else None, proxy)
        found = self._managers.get(key)
        if found is None:
            # Of two threads that come here at once one makes what nobody uses.
            found = self._managers.setdefault(key, self._made(*key))
        return found

    def _made(self, trust: Trust | None, proxy: str | None) -> PoolManager:
        context = tls_context(trust) if trust is not None else None
        if proxy is None:
            manager = PoolManager(maxsize=_KEPT, ssl_context=context)
        else:
            login = login_of(proxy)
            # Else it would be taken for as little as a registry that needs no good certificate.
            proxy_context = tls_context(Trust()) if proxy[:6].lower() == "https:" else None
            try:
                manager = ProxyManager(
                    proxy,
                    maxsize=_KEPT,
                    ssl_context=context,
                    proxy_ssl_context=proxy_context,
                    proxy_headers=login,
                )
            except LocationValueError:
                # Its URL isn't told, as it may hold a password.
                raise Unusable("the proxy that the environment names is none of HTTP") from None
        manager.pool_classes_by_scheme = POOLS
        return manager


def _is_passing(error: BaseException | None) -> bool:
    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN


def _tls_failure(error: BaseException) -> BrokenAnswer:
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, ssl.SSLError):
        inner = next((a for a in inner.args if isinstance(a, BaseException)), None)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return Unreachable(f"its certificate is refused: {shown(inner.verify_message)}")
    if isinstance(inner, ssl.SSLError) and inner.reason:
        return BrokenAnswer(f"TLS: {shown(inner.reason.replace('_', ' ').lower())}")
    return BrokenAnswer(f"TLS: {broken_by(error)}")
