"""One meaning of "too many failures" for rows of data, clips of a run, and evaluations."""

from __future__ import annotations

from dataclasses import dataclass

from kinograd.types import DataError


class TooManyFailures(DataError):
    """More attempts failed than the recipe allows."""


@dataclass
class FailureBudget:
    """Counts failures against the share of attempts that a recipe lets fail.

    Attributes:
        limit: the share, from 0 to 1.
        setting: the recipe's key of the limit, for the message.
        seen: attempts so far.
        failed: those that failed.
    """

    limit: float
    setting: str
    seen: int = 0
    failed: int = 0

    def spend(self, failures: int, attempts: int) -> None:
        """Count attempts and how many of them failed."""
        self.seen += attempts
        self.failed += failures

    def check(self, fault: str, first: str, where: str, *, at_least: int = 0) -> None:
        """Stop the work if the budget is exceeded.

        Args:
            fault: the failure in words, such as "examples could not be read".
            first: the first failure.
            where: where all failures are listed.
            at_least: number of attempts to take the share of while fewer were made; for
                work that continues, so that one early failure is not a share of one.

        Raises:
            TooManyFailures: more than ``limit`` of the attempts failed.
        """
        if self.failed > self.limit * max(self.seen, at_least):
            raise TooManyFailures(
                f"{self.failed} of {self.seen} {fault}, more than {self.setting} = {self.limit} "
                f"allows; the first: {first}; {where}"
            )
