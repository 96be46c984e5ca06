"""A platform with a mistake in each line that says so."""

from tiktok_shop_connector import Host, Secret


class Keys:
    def current(self) -> str:
        return "host-1"

    async def wrap(self, *, tenant: str, data_key: bytes, context: bytes) -> bytes:
        return data_key


async def platform(host: Host) -> None:
    await host.list_shops(tenant="acme", customer=7)  # mistake
    await host.call(tenant="acme", customer="c", method="HEAD", path="/a")  # mistake
    await host.disconnect(tenant="acme", customer="c")  # mistake
    await host.disconnect(tenant="acme", customer="c", tiktok_access="keep", shop=None)  # mistake
    await host.call(tenant="acme", customer="c", method="GET", path="/a", shop=None)  # mistake
    host.acting_as(None)  # mistake
    await host.shared_connections(tenant="acme", customer="c", account=None)  # mistake
    await host.accept_webhook(tenant="acme", authorization=None, body=5, handle=print)  # mistake
    await host.refresh(tenant="acme", costumer="c")  # mistake
    secret: str = await host.begin_consent(tenant="acme", customer="c", browser="session")  # mistake
    Secret(secret).text()  # mistake
    Host.open(storage="memory:", keys={"flie": "keys"}, apps=[])  # mistake
    Host.open(storage="memory:", keys={"key_service": {"address": "a", "auth": "tokem"}}, apps=[])  # mistake
    Host.open(storage="memory:", keys=Keys(), apps=[])  # mistake
