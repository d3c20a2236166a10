"""The HTTP side: five paths that answer from memory, and plain JSON for everything else."""

import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from portcullis_health.verdict import Verdict, judge
from portcullis_health.watch import Watch

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _answer(status: int, document: dict[str, object]) -> web.Response:
    return web.Response(status=status, text=json.dumps(document) + "\n", content_type="application/json")


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into short JSON, so that no body shows how the app is built."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        response = _answer(405, {"error": "only GET and HEAD are allowed"})
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return response
    except web.HTTPException as error:
        return _answer(error.status, {"error": "no such path" if error.status == 404 else error.reason})
    except Exception as error:
        # A health check that cannot judge must not look like one that judged well.
        print(f"answering {request.path!r} failed: {type(error).__name__}", flush=True)
        return _answer(500, {"error": "the health app itself failed"})


async def _mark(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Server"] = "portcullis-health"


def build(watch: Watch) -> web.Application:
    """Return the application that shows what `watch` knows; HEAD is answered wherever GET is."""

    def show(choose: Callable[[Verdict], tuple[bool, dict[str, object]]]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            good, document = choose(judge(watch))
            return _answer(200 if good else 503, document)

        return handle

    application = web.Application(middlewares=[_plain_errors], client_max_size=1024)
    application.on_response_prepare.append(_mark)
    liveness = show(lambda verdict: (verdict.live, verdict.liveness))
    readiness = show(lambda verdict: (verdict.ready, verdict.readiness))
    full = show(lambda verdict: (verdict.ready, verdict.full))
    # LiteLLM spells its own endpoint "liveliness"; whoever moves a load balancer over should not get a 404.
    for path in ("/health/liveness", "/health/liveliness", "/livez"):
        application.router.add_get(path, liveness)
    for path in ("/health/readiness", "/readyz"):
        application.router.add_get(path, readiness)
    application.router.add_get("/health", full)
    return application
