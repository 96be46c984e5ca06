"""The platform on Flask: the routes for the button, the callback, webhooks, orders and metrics.

Flask's views run in threads without an event loop, so they use the blocking host.
"""

from __future__ import annotations

import logging

from flask import Flask, Response, abort, g, redirect, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from tiktok_shop_connector import TikTokShopError
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Response as AnyResponse

from .answers import MAX_BODY_BYTES, headers_of, is_same_site, message_of, status_of
from .blocking_platform import BlockingPlatform
from .page import page
from .sessions import COOKIE, Session

log = logging.getLogger("shop_platform")


class Handler(WSGIRequestHandler):
    """Logs no requests, because the query of a callback contains a secret."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def server_of(platform: BlockingPlatform, port: int) -> BaseWSGIServer:
    """Returns Flask's own server. A real platform has another one, such as gunicorn: see docs/python.md."""
    return make_server("127.0.0.1", port, create_app(platform), threaded=True, request_handler=Handler)


def sign_in(app: Flask, platform: BlockingPlatform) -> None:
    """Signs each visitor in."""

    @app.before_request
    def find_session() -> None:
        g.session, g.is_new = platform.sessions.of(request.cookies)

    @app.after_request
    def keep_session(response: Response) -> Response:
        if g.is_new:
            # The browser must send the cookie when it comes back from TikTok Shop, so `SameSite` is `Lax`. Over https,
            # add `secure`.
            response.set_cookie(COOKIE, session().browser.expose(), httponly=True, samesite="Lax")
        return response


def session() -> Session:
    """Returns the session of the request."""
    current: Session = g.session
    return current


def refuse_other_sites() -> None:
    if not is_same_site(request.headers):
        abort(403)


def create_app(platform: BlockingPlatform) -> Flask:
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    sign_in(app, platform)

    @app.get("/")
    def shops() -> str:
        named = {"tenant": platform.tenant, "customer": session().customer}
        connections = platform.host.list_connections(**named)
        return page(connections, platform.host.list_shops(**named), request.args.get("message"))

    @app.post("/connect")
    def connect() -> AnyResponse:
        refuse_other_sites()
        url = platform.host.begin_consent(
            tenant=platform.tenant, customer=session().customer, browser=session().browser
        )
        return redirect(platform.consent_page(url.expose()), 303)

    @app.get("/callback")
    def callback() -> AnyResponse:
        # The query must reach the connector as it arrived.
        query = request.query_string.decode("latin-1")
        message = "connected"
        try:
            platform.host.finish_consent(tenant=platform.tenant, browser=session().browser, query=query)
        except TikTokShopError as error:
            log.warning("a consent was not finished: %s", error.code)
            message = message_of(error)
        return redirect(f"/?message={message}", 303)

    @app.post("/disconnect")
    def disconnect() -> AnyResponse:
        refuse_other_sites()
        platform.host.disconnect(tenant=platform.tenant, customer=session().customer, tiktok_access="keep")
        return redirect("/", 303)

    @app.get("/shops/<shop>/orders")
    def orders(shop: str) -> Response:
        answer = platform.host.call(
            tenant=platform.tenant,
            customer=session().customer,
            shop=shop,
            method="POST",
            path="/order/202309/orders/search",
            query={"page_size": 20},
            body={},
        )
        return Response(answer.body, 200 if answer.is_success else 502, content_type="application/json")

    @app.post("/webhooks/<tenant>")
    def webhook(tenant: str) -> Response:
        reply = platform.host.accept_webhook(
            tenant=tenant,
            authorization=request.headers.get("authorization"),
            body=request.get_data(),
            handle=platform.queue,
        )
        if reply.error is not None:
            log.error("a webhook was not handled: %s", reply.reply, exc_info=reply.error)
        return Response(status=reply.status)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(platform.registry), content_type=CONTENT_TYPE_LATEST)

    @app.errorhandler(TikTokShopError)
    def failed(error: TikTokShopError) -> Response:
        log.error("a request failed: %s", error)
        return Response("This did not work.", status_of(error), headers_of(error), content_type="text/plain")

    return app
