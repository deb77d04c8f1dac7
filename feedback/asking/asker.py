"""Put questions to an endpoint, several at once, and return what was read from the answers in the order of the questions."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from feedback.asking.chat_endpoint import ChatReply, EndpointError, Messages, Patience
from feedback.asking.judge_prompts import Said
from feedback.asking.question_budget import BudgetError, Spending
from feedback.asking.reply_store import ReplyStore

OnFailure = Literal["raise", "abstain"]
MOST_SHOWN = 80  # characters of an answer that cannot be read


class Endpoint(Protocol):
    """Answer one question."""

    def ask(self, body: dict[str, Any], ends: float, stopped: threading.Event, count: Callable[[], None]) -> ChatReply:
        """Return the answer, as `ChatEndpoint.ask` does."""
        ...


class Form(Protocol):
    """Say how to answer, and read answers."""

    @property
    def reminder(self) -> str:
        """Return how to answer."""
        ...

    def read(self, answer: str) -> Said | None:
        """Return what an answer says; None where it says nothing."""
        ...


@dataclass(frozen=True)
class Answer:
    """Hold what was read from an answer; None with the reason why not."""

    said: Said | None
    problem: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Asker:
    """Ask, read, ask again what cannot be read, and keep what can.

    Args:
        settings: of the request, such as the model and the temperature; a question's key is a hash of them and of its messages, and neither
            the address nor the key is in it.
        max_new_tokens: of an answer, as the settings say it.
        at_once: how many questions may be on the way. on_down, on_budget: "abstain" leaves a question unanswered, "raise" gives up all.
    """

    endpoint: Endpoint
    settings: dict[str, Any]
    max_new_tokens: int
    patience: Patience
    spending: Spending
    store: ReplyStore
    at_once: int
    on_down: OnFailure
    on_budget: OnFailure

    def ask(self, questions: Sequence[Messages], form: Form) -> list[Answer]:
        """Return an answer to each question; one that is asked twice is sent once. Errors: EndpointError, BudgetError."""
        began = time.perf_counter()
        keys = [self._key(messages) for messages in questions]
        said = {key: form.read(text) for key, text in self.store.find(keys).items()}
        answers = {key: Answer(found, "", time.perf_counter() - began) for key, found in said.items() if found is not None}
        unknown = {key: messages for key, messages in zip(keys, questions, strict=True) if key not in answers}
        answers.update(self._sent(unknown, form))
        return [answers[key] for key in keys]

    def _sent(self, questions: dict[str, Messages], form: Form) -> dict[str, Answer]:
        """Send all questions; where one fails for good, those that have not begun are not sent."""
        if not questions:
            return {}
        ends, stopped = time.monotonic() + self.patience.deadline_seconds, threading.Event()
        with ThreadPoolExecutor(min(self.at_once, len(questions))) as pool:
            futures: dict[str, Future[Answer]] = {
                key: pool.submit(self._answer, key, messages, form, ends, stopped) for key, messages in questions.items()
            }
            try:
                wait(futures.values(), return_when=FIRST_EXCEPTION)
                for future in futures.values():
                    if future.done():
                        future.result()  # raises what failed first in the order of the questions
                return {key: future.result() for key, future in futures.items()}
            finally:
                stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _answer(self, key: str, messages: Messages, form: Form, ends: float, stopped: threading.Event) -> Answer:
        began = time.perf_counter()
        said, problem = None, ""
        try:
            said, problem = self._read_answer(key, messages, form, ends, stopped)
        except EndpointError as error:
            if self.on_down == "raise" or not error.is_down:
                raise
            problem = str(error)
        except BudgetError as error:
            if self.on_budget == "raise":
                raise
            problem = str(error)
        return Answer(said, problem, time.perf_counter() - began)

    def _read_answer(self, key: str, messages: Messages, form: Form, ends: float, stopped: threading.Event) -> tuple[Said | None, str]:
        """Ask until an answer can be read, or `asks` times."""
        text = ""
        for number in range(self.patience.asks):
            asked = messages if not number else [*messages[:-1], _reminded(messages[-1], form)]
            text = self._text({**self.settings, "messages": asked}, ends, stopped)
            said = form.read(text)
            if said is not None:
                self.store.keep(key, text)
                return said, ""
        return None, f"{self.patience.asks} answers could not be read; the last ends: {text[-MOST_SHOWN:]!r}"

    def _text(self, body: dict[str, Any], ends: float, stopped: threading.Event) -> str:
        num_bytes = sum(len(message["content"].encode(errors="surrogatepass")) for message in body["messages"])
        with self.spending.question(num_bytes, self.max_new_tokens) as answers:
            answers.append(self.endpoint.ask(body, ends, stopped, self.spending.count_request))
        return answers[0].text

    def _key(self, messages: Messages) -> str:
        return hashlib.sha256(json.dumps({**self.settings, "messages": messages}, sort_keys=True).encode()).hexdigest()


def _reminded(message: dict[str, str], form: Form) -> dict[str, str]:
    """Return a message that says again how to answer."""
    return {**message, "content": f"{message['content']}\n\nYour last answer could not be read. {form.reminder}"}
