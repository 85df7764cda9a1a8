"""The command line: run the service or a sandbox, maintain the database, follow a sync."""

import asyncio
import gc
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import click
import msgspec
import structlog
from starlette.types import ASGIApp

import connectors
from connectors.base import SystemClock
from service import backup
from service import doctor as reports
from service.api.parts import Parts
from service.api.routes import OF_WORKERS
from service.app import (
    create_app,
    migrate_database,
    move_database,
    open_parts,
    rotate_credentials,
)
from service.connections import NewConnection
from service.credentials import demo_key
from service.edge import issuing, limits
from service.edge.authenticator import DEMO_USER
from service.edge.token_claims import OPERATOR
from service.errors import ServiceError, StartupError
from service.logs import configure_logs
from service.server import Server, address, bind, listen
from service.settings import Settings, read_settings
from service.terminal.commands import COMMANDS
from service.users import Actor

FAULTS = "Faults to inject: NAME=SHARE,NAME=SHARE, or JSON; see docs/sandbox.md."
MARKETPLACES = "Countries of one account, the home first, like US or DE,FR; see docs/sandbox.md."

log = structlog.get_logger()

Json = dict[str, Any]


async def run_service(settings: Settings, bound: socket.socket, prepare: Any = None) -> None:
    """Serve until a signal arrives, then shut down in order. `prepare` runs before serving."""
    async with open_parts(settings, SystemClock()) as parts:
        if prepare:
            await prepare(parts)
        shorten_collector_pauses()
        log.info("listening", address=address(bound))
        asyncio.get_running_loop().set_exception_handler(limits.log_loop_error)
        allowed = limits.Limits(connections=limits.max_connections())
        server = Server(create_app(parts, settings), parts.hub, allowed=allowed)
        await server.serve(sockets=[bound])
    log.info("stopped")


async def run_worker(settings: Settings, bound: socket.socket | None) -> None:
    """Run syncs until a signal arrives, and serve metrics at `bound`. A signal that arrives earlier
    ends the process at once: it may still wait for the database."""
    async with open_parts(settings, SystemClock()) as parts:
        asyncio.get_running_loop().set_exception_handler(limits.log_loop_error)
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            shorten_collector_pauses()
            log.info("working", at_once=settings.max_running_syncs)
            async with serving_metrics(parts, settings, bound):
                async for _ in signals:
                    break
    log.info("stopped")


@asynccontextmanager
async def serving_metrics(
    parts: Parts, settings: Settings, bound: socket.socket | None
) -> AsyncIterator[None]:
    """Serve the metrics and health checks of a worker, if it has a socket."""
    if bound is None:
        yield
        return
    server = Server(create_app(parts, settings, OF_WORKERS), parts.hub, signals=False)
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, [bound])
        yield
        server.should_exit = True


def shorten_collector_pauses() -> None:
    """Tune the garbage collector for short pauses. Objects that live as long as the process are
    excluded. A call to a source leaves reference cycles of about thirty objects: collecting 2,000
    objects at a time takes a few milliseconds, 50,000 would stop all requests for a tenth of a
    second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 10, 100)
    # At every step of SQLite, a thread waits this long for a busy loop to release the interpreter.
    sys.setswitchinterval(0.0002)


# Commands -------------------------------------------------------------------------------------


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Syncs seller accounts and shows the progress live.

    Settings come from the environment; see docs/settings.md."""


@main.command()
def serve() -> None:
    """Run the service, configured by the environment."""
    with readable_errors():
        settings = read_settings(os.environ, connectors.names())
        configure_logs(settings.log_level, settings.log_format)
        with closing(bind(settings.host, settings.port)) as bound:
            run(run_service, settings, bound)


@main.command()
def work() -> None:
    """Run syncs of a cluster, without an HTTP API. Needs PostgreSQL."""
    with readable_errors():
        settings = read_settings(os.environ, connectors.names())
        if not settings.postgres or settings.role != "all":
            raise StartupError(
                "A worker needs DATABASE_URL=postgresql://…, and no ROLE=web. With SQLite, "
                "python -m service serve runs the syncs itself."
            )
        configure_logs(settings.log_level, settings.log_format)
        with ExitStack() as stack:
            port = settings.metrics_port
            bound = stack.enter_context(closing(bind(settings.host, port))) if port else None
            run(run_worker, msgspec.structs.replace(settings, role="worker"), bound)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--data", default="data", show_default=True, help="Folder of the database.")
@click.option("--orders", default=2500, show_default=True, type=click.IntRange(0, 1_000_000))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@click.option("--speed", default=60.0, show_default=True, type=click.FloatRange(0.01, 100_000))
@click.option("--faults", default="", help=FAULTS)
@click.option("--marketplaces", default="US", show_default=True, help=MARKETPLACES)
@click.option("--no-browser", is_flag=True, help="Do not open the dashboard.")
def demo(
    host: str,
    port: int,
    data: str,
    orders: int,
    seed: int,
    speed: float,
    faults: str,
    marketplaces: str,
    no_browser: bool,
) -> None:
    """Run the service with a sandbox in place of Amazon and a seller already connected."""
    with readable_errors():
        sandbox = connectors.sandbox()
        places = read_marketplaces(sandbox, marketplaces)
        app = sandbox_app(
            sandbox, faults, orders=orders, seed=seed, speed=speed, marketplaces=places
        )
        bound, sandbox_bound = listen(host, port), listen("127.0.0.1", 0)
        settings = demo_settings(host, Path(data), address(sandbox_bound))
        configure_logs(settings.log_level, settings.log_format)
        click.echo(f"Dashboard           {address(bound)}")
        details = f"({orders:,} orders, {speed:g}x speed)"
        click.echo(f"Local Selling API   {address(sandbox_bound)}  {details}")
        click.echo(f"Data                {settings.database_path}")
        click.echo("Press Ctrl+C to stop.")
        sys.stdout.flush()

        async def run_both() -> None:
            async with anyio.create_task_group() as group:
                server = Server(app, None, signals=False)
                group.start_soon(lambda: server.serve(sockets=[sandbox_bound]))
                body = sandbox.connection(seed, orders, places)

                async def prepare(parts: Parts) -> None:
                    await connect_demo(parts, body)
                    if not no_browser and has_screen():
                        await anyio.to_thread.run_sync(webbrowser.open, address(bound))

                await run_service(settings, bound, prepare)
                server.should_exit = True

        run(run_both)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--orders", default=2500, show_default=True, type=click.IntRange(0, 1_000_000))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(0.01, 100_000))
@click.option("--faults", default="", help=FAULTS)
@click.option("--marketplaces", default="US", show_default=True, help=MARKETPLACES)
@click.option("--static", is_flag=True, help="Answer fixed requests only, like Amazon's sandbox.")
@click.option("--connector", default=None, help="Default: the first with a sandbox.")
def sandbox(
    host: str,
    port: int,
    orders: int,
    seed: int,
    speed: float,
    faults: str,
    marketplaces: str,
    static: bool,
    connector: str | None,
) -> None:
    """Run a sandbox alone: a local Selling Partner API. --speed divides every wait."""
    with readable_errors():
        configure_logs("info", "console")
        try:
            module = connectors.sandbox(connector)
        except LookupError as error:
            raise StartupError(str(error)) from error
        app = sandbox_app(
            module,
            faults,
            orders=orders,
            seed=seed,
            speed=speed,
            static=static,
            marketplaces=read_marketplaces(module, marketplaces),
        )
        bound = listen(host, port)
        click.echo(f"Local Selling API   {address(bound)}")
        for name, value in module.environ(address(bound)).items():
            click.echo(f"  {name}={value}")
        sys.stdout.flush()
        run(Server(app, None).serve, [bound])


@main.command()
def migrate() -> None:
    """Migrate the database to the newest schema."""
    with readable_errors():
        settings = read_settings(os.environ, connectors.names())
        configure_logs("warning", settings.log_format)
        name = "The database" if settings.postgres else settings.database_path
        click.echo(f"{name} has schema {migrate_database(settings)}.")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Check settings, database and Redis. The exit code is 1 if something does not work."""
    checks = anyio.run(reports.examine, os.environ)
    click.echo(reports.as_json(checks) if as_json else reports.as_text(checks))
    sys.exit(0 if reports.healthy(checks) else 1)


@main.command("move")
@click.option("--to", required=True, help="postgresql://…, an empty database.")
def move_to_postgres(to: str) -> None:
    """Copy the SQLite database into an empty PostgreSQL database. The service must not run."""
    with readable_errors():
        settings = read_settings(os.environ, connectors.names())
        move_database(settings, to, partial(print, flush=True))


@main.command("backup")
@click.argument("to", type=click.Path(path_type=Path))
def back_up(to: Path) -> None:
    """Copy the SQLite database into the new file TO, while the service runs."""
    with readable_errors():
        settings = read_settings(os.environ, connectors.names())
        if settings.postgres:
            command = backup.dump_command(settings.database_url, to)
            raise StartupError(f"Use PostgreSQL's own tool; the service may run: {command}")
        click.echo(backup.back_up(settings.database_path, to).text)


@main.command("restore")
@click.argument("source", metavar="FROM", type=click.Path(path_type=Path))
def restore(source: Path) -> None:
    """Copy the backup FROM to DATABASE_URL, where no database may exist yet."""
    with readable_errors():
        settings = read_settings(os.environ, connectors.names())
        if settings.postgres:
            command = backup.load_command(settings.database_url, source)
            raise StartupError(
                f"Use PostgreSQL's own tool, into an empty database: {command}. Then see "
                "docs/scaling.md, Back up and restore."
            )
        click.echo(backup.restore(source, settings.database_path).text)
        click.echo(backup.AFTERWARDS)


@main.command("rotate-keys")
def rotate_keys() -> None:
    """Encrypt all credentials with the newest of SECRETS_KEYS. Afterwards, remove the old keys."""
    with readable_errors():
        settings = read_settings(os.environ, connectors.names())
        configure_logs("warning", settings.log_format)
        count = anyio.run(rotate_credentials, settings)
        click.echo(f"{count} credentials are encrypted with the newest key.")


@main.command()
@click.option("--user", required=True, help="The user (`sub`).")
@click.option("--tenant", default="", help="Default: the user.")
@click.option("--role", default="", type=click.Choice(["", OPERATOR]), help="operator, or none.")
@click.option("--plan", default="", help="One of PLANS.")
@click.option("--ttl", default="8h", show_default=True, help="90s, 30m, 8h or 7d.")
def token(user: str, tenant: str, role: str, plan: str, ttl: str) -> None:
    """Print a token, signed with AUTH_SECRET: a JWT for the API and the commands above."""
    with readable_errors():
        settings = read_settings(os.environ, connectors.names())
        now = SystemClock().now()
        click.echo(issuing.issue(settings, user, tenant, role, plan, ttl, now))


for command in COMMANDS:
    main.add_command(command)


# Helpers --------------------------------------------------------------------------------------


@contextmanager
def readable_errors() -> Iterator[None]:
    """Print an expected error as a sentence, without a traceback, and exit with code 1."""
    try:
        yield
    except ServiceError as error:
        click.echo(f"error: {error.detail}", err=True)
        sys.exit(1)


def run(function: Callable[..., Any], *args: Any) -> None:
    """Run on uvloop if it is installed. An expected error is unwrapped from its exception
    groups."""
    limits.raise_descriptor_limit()
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
    """Create the application of a sandbox with these faults."""
    try:
        sandbox_settings = module.Settings(faults=module.read_faults(faults), **settings)
    except ValueError as error:
        raise StartupError(f"--faults is not valid: {error}") from error
    app: ASGIApp = module.create_app(sandbox_settings)
    return app


def read_marketplaces(module: ModuleType, text: str) -> tuple[str, ...]:
    """The ids of a sandbox's marketplaces from their countries."""
    try:
        marketplaces: tuple[str, ...] = module.read_marketplaces(text)
    except ValueError as error:
        raise StartupError(f"--marketplaces is not valid: {error}") from error
    return marketplaces


def has_screen() -> bool:
    """Whether a browser would open in a window, not in the terminal."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(display) or sys.platform in ("darwin", "win32")


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return False
    return True


def demo_settings(host: str, data: Path, sandbox_url: str) -> Settings:
    """Settings of demo mode. The key that encrypts credentials is stored with the data."""
    environ: Mapping[str, str] = {
        "LOG_FORMAT": "console",
        "LOG_LEVEL": "warning",
        **os.environ,
        **connectors.sandbox().environ(sandbox_url),
        "AUTH_MODE": "demo",
        "HOST": host,
        "DATABASE_URL": f"sqlite:///{data / 'sync.db'}",
    }
    read_settings(environ)  # refuse a public address before a file is written
    return read_settings({**environ, "SECRETS_KEYS": demo_key(data)}, connectors.names())


async def connect_demo(parts: Parts, body: Json) -> None:
    """Make the sandbox's seller the demo user's only connection, unless it already is."""
    actor = Actor(DEMO_USER, DEMO_USER)
    settings = parts.sources.settings(body["connector"])
    new = NewConnection(body["connector"], settings.join(body))
    connected = False
    for connection in await parts.connections.list(actor):
        opened = await parts.connections.open(connection.id)
        if settings.split(opened.settings)[1] == settings.split(new.settings)[1]:
            connected = True
        else:
            await parts.connections.forget(actor, connection.id, erase=False)
    if not connected:
        await parts.connections.connect(actor, new)


if __name__ == "__main__":
    main()
