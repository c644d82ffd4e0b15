"""/admin: change models and their versions at run time, with an API key of the scope `admin`.

Changes go through the repository, so that they outlive the server and other servers of the repository follow. Loads and
unloads concern this server only. The answer to a change shows the state after it, and each change is one line of the
log: who, what, from, to.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse, Response

from model_zoo.contract import typed_json
from model_zoo.contract.errors import ChangeRefused, LineageError, PackageError, PackageNotFound
from model_zoo.contract.folders import VERSION
from model_zoo.contract.repository import LATEST, Repository
from model_zoo.contract.rollout import parse_rollout, read_rollout
from model_zoo.contract.set_rollout import remove_rollout, set_rollout
from service.api.admin_schemas import ALIAS_SCHEMA, ROLLOUT_SCHEMA, AliasTarget, Change, RemoveQuery, Status
from service.api.context import read_context
from service.api.json_body import documented_body, read_json
from service.api.native.models import describe_model, describe_models
from service.api.native.schemas import Model, Models
from service.api.problems import documented
from service.api.protocols import JSON
from service.inference.bundled import is_bundled
from service.inference.request import RequestContext
from service.state import AppState

LOG = logging.getLogger(__name__)
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": documented("The change is refused, and nothing has changed"),
    503: documented("Not ready; try again after Retry-After seconds"),
}
router = APIRouter(prefix="/admin", tags=["admin"], responses=RESPONSES)


class Admin:
    """A request for administration: the state of the server, who asks, and until when."""

    def __init__(self, request: Request) -> None:
        self.state: AppState = request.state.service
        self.context: RequestContext = read_context(request, self.state.settings.timeout)

    @property
    def repository(self) -> Repository:
        """The repository to change.

        Raises:
            ChangeRefused: it is the bundled one.
        """
        repository = self.state.store.repository
        if is_bundled(repository):
            raise ChangeRefused("the bundled model cannot be changed; publish one to ./models, or set --repository")
        return repository

    async def refresh(self) -> None:
        """Read the repository again. What is still loading at the deadline continues in the background."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self.context.deadline):
                await self.state.store.refresh()

    def answer(self, name: str, change: str, before: object, after: object) -> Response:
        """Log a change and describe the model after it."""
        log_change(self.context.client, change, before, after)
        store = self.state.store
        model = Model(**describe_model(store, name)) if name in store.known.all_names else None
        return JSONResponse(Change(change=change, before=before, after=after, model=model).model_dump())


def check_one_process(state: AppState) -> None:
    """Check that a load or an unload reaches the whole server.

    Raises:
        ChangeRefused: it has several processes.
    """
    if state.settings.processes > 1:
        text = "this would load or unload in one of several processes only; publish or remove versions, or set aliases"
        raise ChangeRefused(f"{text}: all processes follow the repository")


def log_change(key: str, change: str, before: object, after: object) -> None:
    """Log a change by the owner of a key, or by a client without one."""
    LOG.info("admin change", extra={"fields": {"key": key, "change": change, "before": before, "after": after}})


async def read_admin(request: Request) -> Admin:
    """Return what a request asks for, in the event loop."""
    return Admin(request)


Asked = Annotated[Admin, Depends(read_admin)]


async def _write(admin: Admin, change: Callable[..., object], *arguments: object) -> None:
    """Change the repository in a thread, and read it again."""
    await asyncio.to_thread(change, *arguments)
    await admin.refresh()


@router.get("", responses={200: {"model": Status}})
async def show_status(admin: Asked) -> Response:
    """Show the states of all models with reasons, and the settings in force."""
    store = admin.state.store
    status = Status(
        **describe_models(store),
        repository=str(store.repository.root.absolute()),
        degraded=store.degraded(),
        settings=admin.state.settings.model_dump(mode="json"),
        model_settings={p.reference: given for p, s in store.settings.items() if (given := s.to_document())},
    )
    return JSONResponse(status.model_dump())


@router.post("/refresh", responses={200: {"model": Models}})
async def refresh(admin: Asked) -> Response:
    """Read the repository now instead of at the next poll."""
    await admin.refresh()
    return JSONResponse(Models(**describe_models(admin.state.store)).model_dump())


@router.put(
    "/models/{name}/aliases/{alias}",
    openapi_extra=documented_body(ALIAS_SCHEMA),
    responses={200: {"model": Change}},
)
async def set_alias(request: Request, admin: Asked, name: str, alias: str) -> Response:
    """Create an alias, or move it to another version."""
    body = await read_json(request, admin.context.deadline)
    version = AliasTarget(**typed_json.read_fields(AliasTarget, body)).version
    repository = admin.repository
    before = (await asyncio.to_thread(repository.aliases, name)).get(alias)
    await _write(admin, repository.set_alias, name, alias, version)
    return admin.answer(name, f"set alias {name}@{alias}", before, version)


@router.delete("/models/{name}/aliases/{alias}", responses={200: {"model": Change}})
async def remove_alias(admin: Asked, name: str, alias: str) -> Response:
    """Remove an alias. Its version stays."""
    repository = admin.repository
    before = (await asyncio.to_thread(repository.aliases, name)).get(alias)
    await _write(admin, repository.remove_alias, name, alias)
    return admin.answer(name, f"remove alias {name}@{alias}", before, None)


@router.delete("/models/{name}/versions/{version}", responses={200: {"model": Change}})
async def remove_version(admin: Asked, name: str, version: str, query: Annotated[RemoveQuery, Query()]) -> Response:
    """Remove a version by its number. It is refused for the last one and while an alias or a policy names it."""
    repository = admin.repository
    if not VERSION.fullmatch(version):
        raise PackageNotFound(f"version: expected a number, such as 3; got {version[:100]!r}")

    def remove() -> None:
        repository.remove(name, int(version), force=query.force)

    await _write(admin, remove)
    return admin.answer(name, f"remove {name}@{version}", int(version), None)


@router.post("/models/{name}/load", responses={200: {"model": Change}})
async def load(admin: Asked, name: str) -> Response:
    """Load the version that the bare name means, also after an unload or a failed load."""
    return await _load(admin, name, name)


@router.post("/models/{name}/versions/{version}/load", responses={200: {"model": Change}})
async def load_version(admin: Asked, name: str, version: str) -> Response:
    """Load a version or the version of an alias, also after an unload or a failed load."""
    return await _load(admin, name, f"{name}@{version}")


async def _load(admin: Admin, name: str, reference: str) -> Response:
    check_one_process(admin.state)
    package = await admin.state.store.load(reference, admin.context)
    return admin.answer(name, f"load {reference}", None, package.version)


@router.post("/models/{name}/unload", responses={200: {"model": Change}})
async def unload(admin: Asked, name: str) -> Response:
    """Unload all versions of a model. They stay unloaded until they are loaded again or the server restarts."""
    return await _unload(admin, name, name)


@router.post("/models/{name}/versions/{version}/unload", responses={200: {"model": Change}})
async def unload_version(admin: Asked, name: str, version: str) -> Response:
    """Unload a version. It stays unloaded until it is loaded again or the server restarts."""
    return await _unload(admin, name, f"{name}@{version}")


async def _unload(admin: Admin, name: str, reference: str) -> Response:
    check_one_process(admin.state)
    unloaded = await admin.state.store.unload(reference)
    return admin.answer(name, f"unload {reference}", sorted(package.version for package in unloaded), None)


@router.get("/models/{name}/rollout", responses={200: {"content": {JSON: {"schema": ROLLOUT_SCHEMA}}}})
async def show_rollout(admin: Asked, name: str) -> Response:
    """Show the rollout policy of a model, {} without one."""
    return JSONResponse(await asyncio.to_thread(_policy, admin.state.store.repository, name) or {})


@router.put(
    "/models/{name}/rollout",
    openapi_extra=documented_body(ROLLOUT_SCHEMA),
    responses={200: {"model": Change}},
)
async def put_rollout(request: Request, admin: Asked, name: str) -> Response:
    """Replace the rollout policy of a model: stable, canary and shadow version."""
    rollout = parse_rollout(await read_json(request, admin.context.deadline))
    repository = admin.repository
    before = await _readable_policy(repository, name)
    await _write(admin, set_rollout, repository, name, rollout)
    return admin.answer(name, f"set rollout {name}", before, rollout.to_document())


@router.delete("/models/{name}/rollout", responses={200: {"model": Change}})
async def delete_rollout(admin: Asked, name: str) -> Response:
    """Remove the rollout policy of a model. The bare name means `stable` again, or the newest version."""
    repository = admin.repository
    before = await _readable_policy(repository, name)
    await _write(admin, remove_rollout, repository, name)
    return admin.answer(name, f"remove rollout {name}", before, None)


def _policy(repository: Repository, name: str) -> dict[str, Any] | None:
    repository.version_number(name, LATEST)  # reports an unknown model
    rollout = read_rollout(repository.root / name)
    return rollout.to_document() if rollout else None


async def _readable_policy(repository: Repository, name: str) -> dict[str, Any] | None:
    """Return the policy before a change. A damaged one can be replaced and removed."""
    try:
        return await asyncio.to_thread(_policy, repository, name)
    except PackageError:
        raise
    except LineageError as error:
        return {"damaged": str(error)}
