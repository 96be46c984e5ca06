"""The page of the platform."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from tiktok_shop_connector import Connection, Shop

MESSAGES: Final = {
    "connected": "The shop is connected.",
    "refused": "The shop is not connected, because TikTok Shop was not allowed to connect it.",
    "start-again": "That took too long, or was done already. Please press the button again.",
    "other-browser": "Please finish in the browser in which you started.",
    "try-again": "That did not work. Please try again in a minute.",
}


def page(connections: Sequence[Connection], shops: Sequence[Shop], message: str | None) -> str:
    """Returns the page with the customer's connections and shops."""
    note = f'<p role="status">{MESSAGES[message]}</p>' if message in MESSAGES else ""
    ended = [one.seller_name for one in connections if one.status == "reauthorization-required"]
    again = "".join(f"<p>Please connect {escape(name)} again.</p>" for name in ended)
    items = "".join(
        f'<li>{escape(shop.name)} ({escape(shop.region)}): <a href="/shops/{shop.id}/orders">orders</a></li>'
        for shop in shops
    )
    button = '<form method="post" action="/connect"><button>Connect TikTok Shop</button></form>'
    if connections:
        button += '<form method="post" action="/disconnect"><button>Disconnect TikTok Shop</button></form>'
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Platform</title>
<h1>Your shops</h1>{note}{again}
<ul>{items}</ul>
{button}
</html>"""
