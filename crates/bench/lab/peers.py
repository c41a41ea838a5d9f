"""Other servers, each with a Redis, installed into a folder of their own."""

import os
import shutil
import signal
import string
import subprocess
import sys
from pathlib import Path

from harness import process
from harness.ports import free_port
from harness.redis_server import RedisServer
from harness.waiting import wait_until

from .bench import Failed
from .site import Site

SOURCES = Path(__file__).resolve().parents[1] / "peers"


class Peer:
    """A server that is ready: what `fanwire bench` needs to know of it."""

    def __init__(self, name: str, urls: list[str], pids: list[int], template: Path | None, echoes: bool):
        self.name = name
        self.urls = urls
        self.pids = pids
        self.template = template
        #: Whether it answers requests.
        self.echoes = echoes


def fanwire(site: Site, redis: RedisServer, home: Path) -> Peer:
    """One node, on all cores."""
    node = site.node(redis)
    return Peer("Fanwire", [node.url], [node.pid], None, True)


def nchan(site: Site, redis: RedisServer, home: Path) -> Peer:
    """Nginx with Debian's module, a worker a core."""
    module, port, folder = _nchan_module(home / "nchan"), free_port(), site.folder("nchan")
    config = _filled("nchan/nginx.conf", folder / "nginx.conf", MODULE=module, FOLDER=folder, PORT=port, REDIS=redis.port)
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    master = _start(site, [nginx, "-p", str(folder), "-c", str(config)], port)
    template = _filled("nchan/template.toml", folder / "template.toml", PORT=port)
    return Peer("Nchan", [f"ws://127.0.0.1:{port}/sub/{{channel}}"], [master, *_children(master)], template, False)


def socketio(site: Site, redis: RedisServer, home: Path) -> Peer:
    """A process a core, joined by the Redis adapter."""
    folder = home / "socketio"
    if not (folder / "node_modules").is_dir():
        _copy(["socketio/package.json"], folder)
        _run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)])
    _copy(["socketio/server.mjs"], folder)
    words = ["node", str(folder / "server.mjs")]
    template, path = SOURCES / "socketio/template.toml", "socket.io/?EIO=4&transport=websocket"
    return _a_process_a_core("Socket.IO", site, redis, words, template, path)


def websockets(site: Site, redis: RedisServer, home: Path) -> Peer:
    """A process a core, joined by Redis."""
    folder = home / "websockets"
    if not (folder / "bin/python").exists():
        _run([sys.executable, "-m", "venv", str(folder)])
        requirements = str(SOURCES / "websockets/requirements.txt")
        _run([str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "-r", requirements])
    words = [str(folder / "bin/python"), str(SOURCES / "websockets/server.py")]
    return _a_process_a_core("websockets", site, redis, words, SOURCES / "websockets/template.toml", "")


ALL = {"fanwire": fanwire, "nchan": nchan, "socketio": socketio, "websockets": websockets}


def _a_process_a_core(name: str, site: Site, redis: RedisServer, words: list[str], template: Path, path: str) -> Peer:
    ports = [free_port() for _ in range(os.cpu_count() or 1)]
    pids = [_start(site, [*words, str(port), str(redis.port)], port) for port in ports]
    return Peer(name, [f"ws://127.0.0.1:{port}/{path}" for port in ports], pids, template, True)


def _start(site: Site, words: list[str], port: int) -> int:
    log = site.directory / f"peer-{port}.log"
    started = process.spawn(words, env=dict(os.environ), cwd=site.directory, log=log, orphaned=signal.SIGTERM)
    site.on_end(lambda: _end(started))

    def listens() -> bool:
        if started.poll() is not None:
            raise Failed(f"{words[0]} ended with {started.returncode}: {log.read_text(errors='replace')[-500:]}")
        return any(f":{port:04X} 00000000:0000 0A" in line for line in Path("/proc/net/tcp").read_text().splitlines())

    wait_until(listens, f"a listener of {words[0]}, see {log}", 30)
    return started.pid


def _end(started: subprocess.Popen) -> None:
    """In an orderly way first: a master that is killed leaves its workers behind."""
    started.terminate()
    try:
        started.wait(15)
    except subprocess.TimeoutExpired:
        process.end(started)


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in wait_until(lambda: path.read_text().split(), f"children of {pid}")]


def _nchan_module(folder: Path) -> Path:
    """Debian's package, unpacked: nothing of the machine's own nginx is changed."""
    module = folder / "usr/lib/nginx/modules/ngx_nchan_module.so"
    if not module.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "download", "-q", "libnginx-mod-nchan"], cwd=folder)
        (package,) = folder.glob("*.deb")
        _run(["dpkg", "-x", str(package), str(folder)])
    return module


def _filled(source: str, place: Path, **values: object) -> Path:
    text = (SOURCES / source).read_text()
    # `$1` and the like stay.
    place.write_text(string.Template(text).safe_substitute(values))
    return place


def _copy(sources: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        shutil.copy(SOURCES / source, folder)


def _run(words: list[str], cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{' '.join(words)}: {error}") from None
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
