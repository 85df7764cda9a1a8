"""The command line: serve, demo, sandbox, migrate, sync, watch, work. Owns the uvicorn servers."""

import asyncio
import gc
import os
import socket
import sys
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import click
import structlog
from cryptography.fernet import Fernet
from starlette.types import ASGIApp

import connectors
from connectors.base import SystemClock
from service import terminal
from service.api.parts import Parts
from service.app import bring_up_to_date, create_app, open_parts, rotate
from service.connections import NewConnection
from service.edge import limits
from service.edge.authenticator import DEMO_USER
from service.errors import ServiceError, StartupError
from service.logs import configure_logs
from service.model import Actor
from service.server import Server as Server
from service.server import address as address
from service.server import listen as listen
from service.settings import Settings, read_settings

FAULTS = "What goes wrong there: NAME=SHARE,NAME=SHARE, or JSON; see the README."

log = structlog.get_logger()
Deep = dict[str, Any]


async def run_service(settings: Settings, bound: socket.socket, prepare: Any = None) -> None:
    """Serve until a signal comes; then everything ends in order."""
    async with open_parts(settings, SystemClock()) as parts:
        if prepare:
            await prepare(parts)
        calm_collector()
        log.info("listening", address=address(bound))
        asyncio.get_running_loop().set_exception_handler(limits.log_exhaustion)
        allowed = limits.Limits(connections=limits.most_connections())
        server = Server(create_app(parts, settings), parts.hub, allowed=allowed)
        await server.serve(sockets=[bound])
    log.info("stopped")


def calm_collector() -> None:
    """What lives as long as the process need not be looked at again. What a call to a source leaves
    behind are rings of some thirty objects: collected in small portions, each costs a few
    milliseconds, where a portion of fifty thousand objects would hold everybody up for a tenth of a
    second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 10, 100)
    # A thread waits so long for a busy loop to let go of the interpreter, at every step of SQLite.
    sys.setswitchinterval(0.0002)


# Commands -------------------------------------------------------------------------------------


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Syncs a seller's account and shows the progress live.

    Settings come from the environment; see the README's table."""


@main.command()
def serve() -> None:
    """Run the service, configured by the environment."""
    with told():
        settings = read_settings(os.environ, connectors.names())
        configure_logs(settings.log_level, settings.log_format)
        run(run_service, settings, listen(settings.host, settings.port))


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--data", default="data", show_default=True, help="The folder of the database.")
@click.option("--orders", default=2500, show_default=True, type=click.IntRange(0, 1_000_000))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@click.option("--speed", default=60.0, show_default=True, type=click.FloatRange(0.01, 100_000))
@click.option("--faults", default="", help=FAULTS)
@click.option("--no-browser", is_flag=True, help="Do not open the dashboard.")
def demo(
    host: str,
    port: int,
    data: str,
    orders: int,
    seed: int,
    speed: float,
    faults: str,
    no_browser: bool,
) -> None:
    """The service with a local stand-in for Amazon and a seller already connected."""
    with told():
        sandbox = connectors.sandbox()
        app = sandbox_app(sandbox, faults, orders=orders, seed=seed, speed=speed)
        bound, far = listen(host, port), listen("127.0.0.1", 0)
        settings = demo_settings(host, Path(data), address(far))
        configure_logs(settings.log_level, settings.log_format)
        click.echo(f"Dashboard           {address(bound)}")
        click.echo(f"Local Selling API   {address(far)}  ({orders:,} orders, {speed:g}x speed)")
        sys.stdout.flush()

        async def both() -> None:
            async with anyio.create_task_group() as group:
                server = Server(app, None, signals=False)
                group.start_soon(lambda: server.serve(sockets=[far]))
                body = sandbox.connection(seed, orders)

                async def prepare(parts: Parts) -> None:
                    await connect_demo(parts, body)
                    if not no_browser and has_screen():
                        await anyio.to_thread.run_sync(webbrowser.open, address(bound))

                await run_service(settings, bound, prepare)
                server.should_exit = True

        run(both)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--orders", default=2500, show_default=True, type=click.IntRange(0, 1_000_000))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(0.01, 100_000))
@click.option("--faults", default="", help=FAULTS)
@click.option("--static", is_flag=True, help="Answer a few fixed requests, as Amazon's own does.")
@click.option("--connector", default=None, help="Whose sandbox; the first one, if left out.")
def sandbox(
    host: str,
    port: int,
    orders: int,
    seed: int,
    speed: float,
    faults: str,
    static: bool,
    connector: str | None,
) -> None:
    """The local Selling Partner API alone. --speed divides every wait."""
    with told():
        configure_logs("info", "console")
        try:
            module = connectors.sandbox(connector)
        except LookupError as error:
            raise StartupError(str(error)) from error
        app = sandbox_app(module, faults, orders=orders, seed=seed, speed=speed, static=static)
        bound = listen(host, port)
        click.echo(f"Local Selling API   {address(bound)}")
        for name, value in module.environ(address(bound)).items():
            click.echo(f"  {name}={value}")
        sys.stdout.flush()
        run(Server(app, None).serve, [bound])


@main.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    with told():
        settings = read_settings(os.environ, connectors.names())
        click.echo(f"{settings.database_path} has schema {bring_up_to_date(settings)}.")


@main.command("rotate-keys")
def rotate_keys() -> None:
    """Encrypt all credentials with the newest of SECRETS_KEYS; then the old keys can go."""
    with told():
        settings = read_settings(os.environ, connectors.names())
        configure_logs("warning", settings.log_format)
        count = anyio.run(rotate, settings)
        click.echo(f"{count} credentials are encrypted with the newest key.")


@main.command()
def work() -> None:
    """A worker without HTTP API, for PostgreSQL (not supported yet)."""
    with told():
        raise StartupError(
            "Workers of their own need PostgreSQL, which this version does not support yet. "
            "`serve` runs the syncs in its own process."
        )


@main.command()
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The service.")
@click.option("--token", default="", envvar="SYNC_TOKEN", help="A JWT; or SYNC_TOKEN.")
@click.option("--connection", default=None, help="Which connection, if there are several.")
def sync(url: str, token: str, connection: str | None) -> None:
    """Start a sync and follow it. Exits with 0 only when it is complete."""
    with told():
        sys.exit(terminal.start(url, token, connection))


@main.command()
@click.argument("sync_id")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The service.")
@click.option("--token", default="", envvar="SYNC_TOKEN", help="A JWT; or SYNC_TOKEN.")
def watch(sync_id: str, url: str, token: str) -> None:
    """Follow a sync. Exits with 0 only when it is complete."""
    with told():
        sys.exit(terminal.watch(url, token, sync_id))


# Inside ---------------------------------------------------------------------------------------


@contextmanager
def told() -> Iterator[None]:
    """An expected error is a sentence and exit code 1, not a trace."""
    try:
        yield
    except ServiceError as error:
        click.echo(f"error: {error.detail}", err=True)
        sys.exit(1)


def run(function: Callable[..., Any], *args: Any) -> None:
    """On uvloop where there is one; an error out of a group of tasks comes out by itself."""
    limits.raise_descriptors()
    try:
        anyio.run(function, *args, backend_options={"use_uvloop": _has_uvloop()})
    except BaseExceptionGroup as group:
        error: BaseException | None = group.subgroup(ServiceError)
        if error is None:
            raise
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def sandbox_app(module: ModuleType, faults: str, **settings: object) -> ASGIApp:
    """A connector's stand-in for its source, in the weather that the command line asks for."""
    try:
        chosen = module.Settings(faults=module.read_faults(faults), **settings)
    except ValueError as error:
        raise StartupError(f"--faults cannot be used: {error}") from error
    app: ASGIApp = module.create_app(chosen)
    return app


def has_screen() -> bool:
    """Whether a browser would open a window: one that takes over the terminal is no help."""
    windows = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(windows) or sys.platform in ("darwin", "win32")


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return False
    return True


def demo_settings(host: str, data: Path, far: str) -> Settings:
    """Demo mode over the sandbox at that address; its own key is kept beside its data."""
    environ: Mapping[str, str] = {
        "LOG_FORMAT": "console",
        "LOG_LEVEL": "warning",
        **os.environ,
        **connectors.sandbox().environ(far),
        "AUTH_MODE": "demo",
        "HOST": host,
        "DATABASE_URL": f"sqlite:///{data / 'sync.db'}",
    }
    read_settings(environ)  # refuses a public address before anything is written
    return read_settings({**environ, "SECRETS_KEYS": _demo_key(data)}, connectors.names())


def _demo_key(data: Path) -> str:
    path = data / "secrets.key"
    try:
        data.mkdir(0o700, parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(Fernet.generate_key())
        return path.read_text().strip()
    except OSError as error:
        raise StartupError(
            f"The data folder {data} cannot be used: {error.strerror}. Choose another with --data."
        ) from error


async def connect_demo(parts: Parts, body: Deep) -> None:
    """The sandbox's seller as the demo user's only connection; connected once, then kept."""
    who = Actor(DEMO_USER, DEMO_USER)
    connector = body["connector"]
    settings = parts.sources.settings(connector)
    new = NewConnection(connector, settings.join(body))
    same = False
    for kept in await parts.connections.list(who):
        opened = await parts.connections.open(kept.id)
        if settings.split(opened.settings)[1] == settings.split(new.settings)[1]:
            same = True
        else:
            await parts.connections.forget(who, kept.id, erase=False)
    if not same:
        await parts.connections.connect(who, new)


if __name__ == "__main__":
    main()
