"""The types of the native module. Only this package calls it."""

from typing import Any, final

@final
class Secret:
    """A secret text. `str`, `repr` and `format` show `[redacted]`. Only `expose` returns the text."""

    def __new__(cls, text: str) -> Secret: ...
    def expose(self) -> str:
        """Returns the text."""

    def __copy__(self) -> Secret: ...
    def __deepcopy__(self, memo: object) -> Secret: ...

@final
class Mailbox:
    def __new__(cls) -> Mailbox: ...
    def fileno(self) -> int: ...
    def take(self, limit: int) -> list[tuple[int, str, Any, Any]]: ...
    def close(self) -> None: ...

@final
class Answer:
    def ok(self, result: object) -> None: ...
    def error(self, code: str | None, message: str) -> None: ...

@final
class Stopper:
    def stop(self) -> None: ...

@final
class NativeHost:
    def __new__(cls) -> NativeHost: ...
    def open(
        self,
        mailbox: Mailbox,
        number: int,
        options: dict[str, Any],
        component: str,
        component_sha256: str,
        storage: int | None,
        keys: int | None,
        apps: int | None,
    ) -> None: ...
    def perform(
        self,
        mailbox: Mailbox,
        number: int,
        operation: str,
        arguments: dict[str, Any],
        body: bytes | None,
        actor: str | None,
        reason: str | None,
    ) -> Stopper: ...
    def accept_webhook(
        self,
        mailbox: Mailbox,
        number: int,
        arguments: dict[str, Any],
        body: bytes,
        actor: str | None,
        reason: str | None,
        platform: int,
    ) -> None: ...
    def close(self, mailbox: Mailbox, number: int) -> None: ...
    def settle(self, milliseconds: int) -> bool: ...

def check_contract(mailbox: Mailbox, number: int, storage: int, receiver: int) -> None: ...
def contract_checks() -> list[dict[str, str]]: ...
def forward_logs(level: str, mailbox: Mailbox) -> None: ...
