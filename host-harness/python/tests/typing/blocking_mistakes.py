"""A platform without an event loop, with a mistake in each line that says so."""

import asyncio
import threading

from tiktok_shop_connector.blocking import Host, with_retries


async def platform(host: Host) -> None:
    host.list_shops(tenant="acme", customer=7)  # mistake
    host.list_shops("acme", "c")  # mistake
    host.call(tenant="acme", customer="c", method="HEAD", path="/a")  # mistake
    host.call(tenant="acme", customer="c", method="GET", path="/a", shop=None)  # mistake
    host.disconnect(tenant="acme", customer="c")  # mistake
    host.refresh(tenant="acme", costumer="c")  # mistake
    host.acting_as(None)  # mistake
    host.sweep(stop=asyncio.Event())  # mistake
    host.shared_connections(tenant="acme", customer="c", stop=True)  # mistake
    host.shared_connections(tenant="acme", customer="c", account=None)  # mistake
    host.accept_webhook(tenant="acme", authorization=None, body=5, handle=print)  # mistake
    await host.list_shops(tenant="acme", customer="c")  # mistake
    secret: str = host.begin_consent(tenant="acme", customer="c", browser="session")  # mistake
    with_retries(10, 7)  # mistake
    swept: str = with_retries(10, lambda: host.sweep(stop=threading.Event()))  # mistake
    Host.open(storage="memory:", keys={"flie": "keys"}, apps=[])  # mistake
    Host.open(storage="memory:", keys="drawn")  # mistake
    await Host.open(storage="memory:", keys="drawn", apps=[])  # mistake
    host.acting_as(secret + swept)
