"""Serve a study to browsers, and invite people to it, from the command line."""

from __future__ import annotations

import ipaddress
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from feedback.study import require_people

if TYPE_CHECKING:
    from feedback.page.hearing import Hearing
    from feedback.page.run_metrics import RunFolder
    from feedback.page.sight import Sight

SECRET_VARIABLE = "TEXTGEN_SECRET"
SHORTEST_SECRET = 32  # bytes


def serve(
    study: str = "study.db",
    host: str = "127.0.0.1",
    port: int = 8000,
    address: str | None = None,
    secret_file: Path | None = None,
    title: str = "Study",
    run: Path | None = None,
    speech: bool = False,
    speech_model: str | None = None,
    pictures: str | None = None,
    picture_good: tuple[str, ...] = (),
    picture_bad: tuple[str, ...] = (),
    picture_confidence: float | None = None,
) -> None:
    """Serve a study's page until it is interrupted; print its address, and an invitation for the owner while nobody is enrolled.

    Args:
        study: the study's file, made where there is none, or a URL of SQLAlchemy.
        host: of the network interface. Any but 127.0.0.1 needs a secret.
        port: 0 = any that is free.
        address: what people type, where that is another, such as https://study.example.org in front of a proxy.
        secret_file: holds at least 32 bytes that sign the page's forms; the environment variable TEXTGEN_SECRET does the same.
        title: shown on every screen.
        run: the folder of a training, such as runs/film, whose learning curve the owner sees under Overview, also while it goes on.
        speech: lets people speak their answers; needs the extra "speech". Browsers give the microphone only to https, or on this machine.
        speech_model: a path or hub name of a model that hears critiques, such as openai/whisper-tiny.en; without it they are written.
        pictures: a path or hub name of a model that classifies pictures: to "Is this good?" people may react by one; needs the extra
            "pictures".
        picture_good: labels of that model, or emoji, that say good. Emoji are buttons, and need no model.
        picture_bad: labels or emoji that say bad.
        picture_confidence: share of good labels, or of bad ones, below which a picture is no answer; above 0.5. None = 0.8.
    """
    if speech_model is not None and not speech:
        raise ValueError("--speech-model names what hears critiques: give --speech too")
    require_people()
    secret = read_secret(secret_file)
    if not is_loopback(host) and not secret:
        raise ValueError(
            f"with --host {host} other machines can reach this study, so its forms must be signed: write 32 or more random characters into "
            f"a file that only you can read, and name it by --secret-file, or set {SECRET_VARIABLE}. Put a proxy with https in front, and "
            "give its address by --address https://..."
        )
    if not is_loopback(host) and address is None:
        raise ValueError(f"with --host {host} say what people type to reach the page: --address https://study.example.org")
    import uvicorn

    shown_run = _run(run)
    hearing = _hearing(study, speech_model, secret) if speech else None
    sight = _sight(study, pictures, picture_good, picture_bad, picture_confidence, secret)
    from feedback.page.application import make_application
    from feedback.page.desk import Desk
    from feedback.page.settings import Settings
    from feedback.study.access import Access
    from feedback.study.queueing import Queue
    from feedback.study.store import Store

    with _listen(host, port) as listener, Store(study) as store:
        settings = Settings(address.rstrip("/") if address else _address(host, listener.getsockname()[1]), title)
        access = Access(store, secret)
        print(f"The study {study} is at {settings.address} (stop it by Ctrl-C)", flush=True)
        if not access.has_people():
            print(f"Come in as its owner: {settings.address}/invitation/{access.invite('owner', 'owner')}", flush=True)
        config = uvicorn.Config(
            make_application(Desk(store, Queue(store), access, settings, hearing, sight, shown_run)),
            http="httptools",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the address is given, never taken from what a request says
            timeout_graceful_shutdown=5,
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
        print("Stopped. All that was acknowledged is stored.")


def _run(folder: Path | None) -> RunFolder | None:
    """Return what reads the measurements of a training.

    Errors: ValueError for a folder that is no run's.
    """
    from feedback.page.run_metrics import RunFolder

    return None if folder is None else RunFolder(folder)


def _hearing(study: str, speech_model: str | None, secret: bytes) -> Hearing:
    """Return what hears spoken answers."""
    from feedback.page.hearing import make_hearing

    return make_hearing(study, speech_model, secret)


def _sight(
    study: str, model: str | None, good: tuple[str, ...], bad: tuple[str, ...], least_confidence: float | None, secret: bytes
) -> Sight | None:
    """Return what sees reactions; None where none are asked for.

    Errors: ValueError for options that contradict each other.
    """
    if model is None and not good and not bad:
        if least_confidence is not None:
            raise ValueError("--picture-confidence says how sure a model must be: name it by --pictures")
        return None
    if not good or not bad:
        raise ValueError("reactions need labels or emoji for both sides: give --picture-good LABEL ... and --picture-bad LABEL ...")
    if model is None and least_confidence is not None:
        raise ValueError(
            "--picture-confidence says how sure a model must be, and an emoji is chosen by a person: name a model by --pictures"
        )
    from feedback.page.sight import make_sight
    from feedback.pictures.reaction import LEAST_CONFIDENCE, Polarity

    least = LEAST_CONFIDENCE if least_confidence is None else least_confidence
    return make_sight(study, Polarity(frozenset(good), frozenset(bad), least), model, secret)


def invite(
    name: str,
    study: str = "study.db",
    role: Literal["rater", "owner"] = "rater",
    days: float = 7.0,
    address: str = "http://127.0.0.1:8000",
) -> None:
    """Print a link by which one person comes in, once.

    Args:
        name: of the person, as it stands in the data, such as rater-3.
        study: the study's file.
        role: a rater answers questions; an owner sees how the study goes, too.
        days: after which the link is over.
        address: of the page, as `serve` prints it.
    """
    require_people()
    from feedback.page.settings import Settings
    from feedback.study.access import Access
    from feedback.study.store import Store

    settings = Settings(address.rstrip("/"))
    if "://" not in study and not Path(study).exists():
        raise ValueError(f"there is no study {study}: give its file by --study, or make it by `python -m feedback serve --study {study}`")
    with Store(study) as store:
        print(f"{settings.address}/invitation/{Access(store).invite(name, role, days)}")


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def read_secret(file: Path | None) -> bytes:
    """Return the secret of a file, or of the environment; empty where there is none.

    Errors: ValueError for one that is too short.
    """
    secret = os.environ.get(SECRET_VARIABLE, "").encode() if file is None else file.read_bytes()
    secret = secret.strip()
    if (secret or file is not None) and len(secret) < SHORTEST_SECRET:
        raise ValueError(f"the secret must have at least {SHORTEST_SECRET} bytes, got {len(secret)}")
    return secret


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Errors: OSError that says what to do where the port is taken.
    """
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    listener = socket.socket(family, proto=socket.IPPROTO_TCP)  # named, or asyncio leaves small packets waiting for 40 ms
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((bare, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise OSError(f"the page cannot be served at {host}, port {port}: {error.strerror}; choose another by --host and --port") from error
    return listener


def _address(host: str, port: int) -> str:
    bare = host.strip("[]")
    return f"http://[{bare}]:{port}" if ":" in bare else f"http://{bare}:{port}"
