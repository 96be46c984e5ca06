"""The platform on FastAPI: the routes for the button, the callback, webhooks, orders and metrics."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from tiktok_shop_connector import TikTokShopError

from .answers import MAX_BODY_BYTES, headers_of, is_same_site, message_of, status_of
from .page import page
from .platform import Platform
from .sessions import COOKIE, Session

log = logging.getLogger("shop_platform")


def platform_of(request: Request) -> Platform:
    platform: Platform = request.app.state.platform
    return platform


ThePlatform = Annotated[Platform, Depends(platform_of)]


def session_of(request: Request, response: Response, platform: ThePlatform) -> Session:
    session, is_new = platform.sessions.of(request.cookies)
    if is_new:
        # The browser must send the cookie when it comes back from TikTok Shop, so `SameSite` is `Lax`. Over https, add
        # `secure`.
        response.set_cookie(COOKIE, session.browser.expose(), httponly=True, samesite="lax")
    return session


TheSession = Annotated[Session, Depends(session_of)]


def same_site(request: Request) -> None:
    if not is_same_site(request.headers):
        raise HTTPException(403)


async def body_of(request: Request) -> bytes:
    """Returns the bytes of the body, which the signature of a webhook covers."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413)
    return bytes(body)


def create_app(open_platform: Callable[[], AbstractAsyncContextManager[Platform]]) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_platform() as platform:
            app.state.platform = platform
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/", response_class=HTMLResponse)
    async def shops(platform: ThePlatform, session: TheSession, message: str | None = None) -> str:
        named = {"tenant": platform.tenant, "customer": session.customer}
        connections = await platform.host.list_connections(**named)
        return page(connections, await platform.host.list_shops(**named), message)

    @app.post("/connect", dependencies=[Depends(same_site)])
    async def connect(platform: ThePlatform, session: TheSession, response: Response) -> Response:
        url = await platform.host.begin_consent(
            tenant=platform.tenant, customer=session.customer, browser=session.browser
        )
        link = platform.consent_page(url.expose())
        return RedirectResponse(link, 303, headers=dict(response.headers))

    @app.get("/callback")
    async def callback(request: Request, platform: ThePlatform, session: TheSession) -> Response:
        # The query must reach the connector as it arrived.
        query = request.scope["query_string"].decode("latin-1")
        message = "connected"
        try:
            await platform.host.finish_consent(tenant=platform.tenant, browser=session.browser, query=query)
        except TikTokShopError as error:
            log.warning("a consent was not finished: %s", error.code)
            message = message_of(error)
        return RedirectResponse(f"/?message={message}", 303)

    @app.post("/disconnect", dependencies=[Depends(same_site)])
    async def disconnect(platform: ThePlatform, session: TheSession) -> Response:
        await platform.host.disconnect(tenant=platform.tenant, customer=session.customer, tiktok_access="keep")
        return RedirectResponse("/", 303)

    @app.get("/shops/{shop}/orders")
    async def orders(shop: str, platform: ThePlatform, session: TheSession) -> Response:
        answer = await platform.host.call(
            tenant=platform.tenant,
            customer=session.customer,
            shop=shop,
            method="POST",
            path="/order/202309/orders/search",
            query={"page_size": 20},
            body={},
        )
        return Response(answer.body, 200 if answer.is_success else 502, media_type="application/json")

    @app.post("/webhooks/{tenant}")
    async def webhook(tenant: str, request: Request, platform: ThePlatform) -> Response:
        reply = await platform.host.accept_webhook(
            tenant=tenant,
            authorization=request.headers.get("authorization"),
            body=await body_of(request),
            handle=platform.queue,
        )
        if reply.error is not None:
            log.error("a webhook was not handled: %s", reply.reply, exc_info=reply.error)
        return Response(status_code=reply.status)

    @app.get("/metrics")
    async def metrics(platform: ThePlatform) -> Response:
        return Response(generate_latest(platform.registry), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(TikTokShopError)
    async def failed(_request: Request, error: TikTokShopError) -> Response:
        log.error("a request failed: %s", error)
        return PlainTextResponse("This did not work.", status_of(error), headers_of(error))

    return app
