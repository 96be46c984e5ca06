"""The platform on Django: the views for the button, the callback, webhooks, orders and metrics.

A real project has these parts in its own files `settings.py`, `urls.py`, `views.py` and `asgi.py`.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import django
from asgiref.sync import markcoroutinefunction
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from tiktok_shop_connector import TikTokShopError

from .answers import MAX_BODY_BYTES, headers_of, is_same_site, message_of, status_of
from .page import page
from .platform import Platform
from .sessions import COOKIE, Session

log = logging.getLogger("shop_platform")
View = Callable[..., Any]
AsgiApp = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


#: The key under which a request has its session.
SESSION = "shop_platform.session"


class Current:
    """The platform of this process."""

    platform: Platform


# asgi.py


def create_app(open_platform: Callable[[], AbstractAsyncContextManager[Platform]]) -> AsgiApp:
    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["127.0.0.1", "localhost"],
            DATA_UPLOAD_MAX_MEMORY_SIZE=MAX_BODY_BYTES,
            LOGGING_CONFIG=None,  # the platform configures logging
            # Django's own check of forms is a part of every new project, so it is here, too.
            MIDDLEWARE=[
                f"{__name__}.Sessions",
                "django.middleware.csrf.CsrfViewMiddleware",
                f"{__name__}.Errors",
            ],
            ROOT_URLCONF=__name__,
            SECRET_KEY=secrets.token_hex(32),
        )
        django.setup()
    application = get_asgi_application()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        # Django ignores the events of the server's start and end.
        await receive()
        step = "startup"
        try:
            async with open_platform() as platform:
                Current.platform = platform
                await send({"type": "lifespan.startup.complete"})
                step = "shutdown"
                await receive()
        except Exception:
            # If this function raised the exception instead, uvicorn could believe that the app has no lifespan, and
            # would serve requests without a host.
            log.exception("the %s of the platform failed", step)
            await send({"type": f"lifespan.{step}.failed", "message": f"the {step} of the platform failed"})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    return app


# views.py


class Sessions:
    """A middleware that signs each visitor in."""

    async_capable, sync_capable = True, False

    def __init__(self, get_response: View) -> None:
        self._get_response = get_response
        # Django asks whether a middleware is asynchronous.
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        session, is_new = Current.platform.sessions.of(request.COOKIES)
        request.META[SESSION] = session
        response: HttpResponse = await self._get_response(request)
        if is_new:
            # The browser must send the cookie when it comes back from TikTok Shop, so `SameSite` is `Lax`. Over https,
            # add `secure`.
            response.set_cookie(COOKIE, session.browser.expose(), httponly=True, samesite="Lax")
        return response


class Errors:
    """A middleware that answers errors of the connector."""

    async_capable, sync_capable = True, False

    def __init__(self, get_response: View) -> None:
        self._get_response = get_response
        # Django asks whether a middleware is asynchronous.
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        return await self._get_response(request)

    def process_exception(self, _request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, TikTokShopError):
            return None
        log.error("a request failed: %s", error)
        return HttpResponse(
            "This did not work.", status=status_of(error), headers=headers_of(error), content_type="text/plain"
        )


def same_site(view: View) -> View:
    """Refuses forms of other sites. It replaces Django's check, because the page does not contain Django's token."""

    async def checked(request: HttpRequest) -> HttpResponse:
        return await view(request) if is_same_site(request.headers) else HttpResponse(status=403)

    exempt: View = csrf_exempt(checked)
    return exempt


def see_other(link: str) -> HttpResponse:
    response = HttpResponseRedirect(link)
    response.status_code = 303
    return response


def named(request: HttpRequest) -> dict[str, str]:
    return {"tenant": Current.platform.tenant, "customer": session_of(request).customer}


def session_of(request: HttpRequest) -> Session:
    session: Session = request.META[SESSION]
    return session


@require_GET
async def shops(request: HttpRequest) -> HttpResponse:
    host = Current.platform.host
    connections = await host.list_connections(**named(request))
    message = request.GET.get("message")
    return HttpResponse(page(connections, await host.list_shops(**named(request)), message))


@require_POST
@same_site
async def connect(request: HttpRequest) -> HttpResponse:
    platform = Current.platform
    url = await platform.host.begin_consent(
        tenant=platform.tenant, customer=session_of(request).customer, browser=session_of(request).browser
    )
    return see_other(platform.consent_page(url.expose()))


@require_GET
async def callback(request: HttpRequest) -> HttpResponse:
    platform = Current.platform
    # The query must reach the connector as it arrived.
    query = request.META["QUERY_STRING"]
    message = "connected"
    try:
        browser = session_of(request).browser
        await platform.host.finish_consent(tenant=platform.tenant, browser=browser, query=query)
    except TikTokShopError as error:
        log.warning("a consent was not finished: %s", error.code)
        message = message_of(error)
    return see_other(f"/?message={message}")


@require_POST
@same_site
async def disconnect(request: HttpRequest) -> HttpResponse:
    await Current.platform.host.disconnect(**named(request), tiktok_access="keep")
    return see_other("/")


@require_GET
async def orders(request: HttpRequest, shop: str) -> HttpResponse:
    search = "/order/202309/orders/search"
    answer = await Current.platform.host.call(
        tenant=Current.platform.tenant,
        customer=session_of(request).customer,
        shop=shop,
        method="POST",
        path=search,
        query={"page_size": 20},
        body={},
    )
    return HttpResponse(answer.body, status=200 if answer.is_success else 502, content_type="application/json")


# TikTok Shop sends no token of Django. The webhook's signature takes the place of the token.
@csrf_exempt
@require_POST
async def webhook(request: HttpRequest, tenant: str) -> HttpResponse:
    reply = await Current.platform.host.accept_webhook(
        tenant=tenant,
        authorization=request.headers.get("authorization"),
        body=request.body,
        handle=Current.platform.queue,
    )
    if reply.error is not None:
        log.error("a webhook was not handled: %s", reply.reply, exc_info=reply.error)
    return HttpResponse(status=reply.status)


@require_GET
async def metrics(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(Current.platform.registry), content_type=CONTENT_TYPE_LATEST)


# urls.py

urlpatterns = [
    path("", shops),
    path("connect", connect),
    path("callback", callback),
    path("disconnect", disconnect),
    path("shops/<shop>/orders", orders),
    path("webhooks/<tenant>", webhook),
    path("metrics", metrics),
]
