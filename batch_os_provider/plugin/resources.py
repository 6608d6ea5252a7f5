"""What the two resources do in the native provider, with plain bags: check, compare, preview, run and read.

Every decision comes from the rooms below. What is here is the native provider's own: which changes a preview draws,
which outputs are known before an `up`, what a failed create leaves in the state, and which inputs an import gets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.pool import PoolState
from batch_os_provider.comparison.compared import Compared, PriorState, compare_image, compare_os
from batch_os_provider.comparison.drift import image_drift
from batch_os_provider.errors import (
    BatchOsError,
    CredentialError,
    DeadlineError,
    InputError,
    PoolGoneError,
    RefusedError,
)
from batch_os_provider.guest_os.version import same_version
from batch_os_provider.plugin.bags import UNKNOWN, is_unknown
from batch_os_provider.schema import inputs
from batch_os_provider.schema import outputs as out
from batch_os_provider.schema.declared import Declared, DeclaredImage, gate_of, ref_of, target_in
from batch_os_provider.schema.inputs import Failure
from batch_os_provider.schema.spelling import camel, in_core, strange
from batch_os_provider.schema.units import LONGEST, parse_duration, shown

if TYPE_CHECKING:
    from types import ModuleType

    from batch_os_provider.preview.describe import Refused

__all__ = ["IMAGE", "OS", "PACKAGE", "RESOURCES", "Change", "Resource", "without_secrets"]

PACKAGE = "batchos"
UNTOUCHED = "when_empty"
"""The strategy of a pool that was imported: the one that touches no node."""
# After these nothing was written, so a state has nothing to show.
_NOTHING_DONE = (CredentialError, InputError, PoolGoneError, RefusedError)


def _first_used(module: str) -> ModuleType:
    """A module that imports azure. A check and an unchanged resource do not need it."""
    return import_module(f"batch_os_provider.{module}")


@dataclass(frozen=True)
class Change:
    """How a preview draws the change of one property: between inputs, or from the old output to the new input."""

    kind: str
    of_inputs: bool = True


@dataclass(frozen=True)
class Resource:
    """One resource of the package; ``shown`` are its outputs beside the inputs."""

    name: str
    spec: inputs.Spec
    shown: tuple[str, ...]

    @property
    def token(self) -> str:
        """The type token."""
        return f"{PACKAGE}:index:{self.name}"

    @staticmethod
    def id_of(bag: Mapping[str, Any]) -> str:
        """The id of a resource with these inputs: the URL of its pool."""
        return PoolRef(bag[inputs.ACCOUNT_ENDPOINT], bag[inputs.POOL_ID_NAME]).url

    def check(
        self, news: Mapping[str, Any], endpoint: str, *, look: bool = False, secrets: Collection[str] = ()
    ) -> tuple[dict[str, Any], list[Failure]]:
        """Validate and normalise the inputs of a program.

        Args:
            news: the inputs, with the names of the program.
            endpoint: the account of the provider, if it has one.
            look: whether Batch may be asked; only the refusal of ``latest`` asks.
            secrets: the names among ``news`` whose values no text may show.

        Returns:
            The inputs to keep, with the names of the core, and the failures, with the names of the program.
        """
        known = {camel(name) for name in self.spec.names}
        others = [strange(name, self.spec.names, f"an input of {self.name}") for name in news if name not in known]
        bag = in_core({name: value for name, value in news.items() if name in known and value is not None})
        if endpoint:
            bag.setdefault(inputs.ACCOUNT_ENDPOINT, endpoint)
        kept, failures = inputs.check(bag, is_unknown, self.spec)
        reasons = [self._reason(each, kept, look=look) for each in without_secrets(failures, kept, secrets)]
        return kept, [*others, *map(Failure, (camel(each.property) for each in failures), reasons)]

    @staticmethod
    def _reason(failure: Failure, kept: Mapping[str, Any], *, look: bool) -> str:
        if failure.property == inputs.ACCOUNT_ENDPOINT and kept.get(inputs.ACCOUNT_ENDPOINT) is None:
            return f"{failure.reason}; declare it here, or as {camel(inputs.ACCOUNT_ENDPOINT)} of the provider"
        if look and inputs.asks_for_latest(failure.property, kept):
            return failure.reason + str(_first_used("preview.describe").newest_clause(kept))
        return failure.reason

    def compare(self, old_inputs: Mapping[str, Any], olds: Mapping[str, Any], news: Mapping[str, Any]) -> Compared:
        """Compare the state with the inputs of the program."""
        compare = compare_os if self.spec is inputs.OS else compare_image
        # The output of the target may be what the pool showed; only the inputs say what was declared.
        declared = {**dict.fromkeys(self.spec.names), **old_inputs} if old_inputs else {}
        return compare({**olds, **declared}, news, is_unknown)

    def changes(self, found: Compared, olds: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, Change]:
        """What a preview draws, by the names of the core; ``olds`` are the inputs of the state."""
        drawn = {name: Change(_kind(olds.get(name), news.get(name))) for name in found.changed}
        target = self.spec.target_of(news)
        if found.is_behind and target not in drawn:
            drawn[target] = Change("update", of_inputs=False)
        if found.is_unfinished and not drawn:
            # As a change of outputs, `preview --diff` would draw a state that goes away: the inputs have none.
            drawn[out.STATE] = Change("update")
        return drawn

    def preview(self, bag: Mapping[str, Any], known: PriorState | None, *, look: bool) -> dict[str, Any]:
        """Write on the row what an `up` would do. Returns the inputs with the outputs that are known already.

        Raises:
            RefusedError: `up` would refuse.
        """
        if not is_unknown(dict(bag)):
            refused = self._refused(bag, known, look=look)
            if refused is not None:
                raise refused.error
        return {**bag, **self._expected(bag)}

    def _refused(self, bag: Mapping[str, Any], known: PriorState | None, *, look: bool) -> Refused | None:
        describe = _first_used("preview.describe")
        if self.spec is inputs.OS:
            refused: Refused | None = describe.preview_os(Declared.of(bag), known, look=look)
        else:
            refused = describe.preview_image(DeclaredImage.of(bag), known, look=look)
        return refused

    def _expected(self, bag: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs before an `up`: what follows from a success, and ``UNKNOWN`` for the others."""
        expected: dict[str, Any] = dict.fromkeys(self.shown, UNKNOWN)
        if bag.get(inputs.ON_TIMEOUT) == "defer" or is_unknown(bag.get(inputs.ON_TIMEOUT)):
            return expected
        expected[out.STATE] = "active"
        if self.spec is inputs.OS:
            return {**expected, out.CURRENT: bag[inputs.TARGET]}
        return {**expected, out.BEHIND: 0}

    def run(self, bag: Mapping[str, Any], olds: Mapping[str, Any], limit: float) -> dict[str, Any]:
        """Bring the pool to its target; ``limit`` is ``customTimeouts`` in seconds, 0 without one.

        Returns:
            The inputs and the outputs, for the state.
        """
        within, crud = self._within(bag, limit), _first_used("crud")
        try:
            seen: dict[str, Any] = crud.upgrade_os(within, olds) if self.spec is inputs.OS else crud.renew_image(within)
        except DeadlineError as error:
            if within != bag:
                error.add("this timeout is the customTimeouts of the resource")
            raise
        # The deadline of this run is not an input of the program.
        seen.pop(inputs.TIMEOUT, None)
        return self._as_state(bag, seen)

    def _within(self, bag: Mapping[str, Any], limit: float) -> dict[str, Any]:
        """The inputs with the shorter of the two deadlines; an undeclared ``timeout`` does not count."""
        if limit <= 0:
            return dict(bag)
        declared = bag.get(inputs.TIMEOUT)
        if declared is not None and parse_duration(declared) <= limit:
            return dict(bag)
        return {**bag, inputs.TIMEOUT: min(limit, LONGEST)}

    def _as_state(self, bag: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs for the state. The target is what the pool shows if that is not what was declared.

        So the next preview draws a deferred upgrade as a change of the target.
        """
        state = {**seen, **bag}
        if self.spec is inputs.IMAGE:
            return state | image_drift(seen, target_in(bag), bag.get(inputs.STRATEGY))
        at = seen.get(out.CURRENT)
        return state if at is None or same_version(at, str(bag[inputs.TARGET])) else {**state, inputs.TARGET: at}

    def after_failure(
        self, bag: Mapping[str, Any], olds: Mapping[str, Any], error: BatchOsError
    ) -> dict[str, Any] | None:
        """The outputs for the state after a rollout that failed; None if it has done nothing.

        They are what the pool shows now, or what the state has shown before if it cannot be read.
        """
        if isinstance(error, _NOTHING_DONE):
            return None
        before = {**out.known(self.shown, olds), **bag}
        if self.spec is inputs.OS and gate_of(bag).is_declared and before.get(out.STATE) == PoolState.ACTIVE.value:
            # The state gets the new gate as an input. Its old `active` would say that the pool has passed it.
            before[out.STATE] = out.UNPROVEN
        try:
            seen = self._look(PoolRef(bag[inputs.ACCOUNT_ENDPOINT], bag[inputs.POOL_ID_NAME]), before)
        except BatchOsError:
            return before
        return before if seen is None else self._as_state(bag, seen[0])

    def read(
        self, id_: str, olds: Mapping[str, Any], old_inputs: Mapping[str, Any], *, is_import: bool
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Read the pool for a refresh, or for an import or a `get`, which have no state yet.

        Args:
            id_: the id of the resource.
            olds: the outputs of the state; empty without a state.
            old_inputs: the inputs of the state.
            is_import: whether a read without a state is an import, and not a `get`.

        Returns:
            The outputs with the inputs, and the inputs; None if the pool does not exist.

        Raises:
            InputError: the id is not that of a pool, or an imported pool shows no version and no node.
        """
        ref = ref_of(id_)
        if olds.get(inputs.POOL_ID_NAME) is not None:
            return self._look(ref, {**olds, **old_inputs})
        seen = self._look(ref, {}, is_import=is_import)
        if seen is None or self.spec is inputs.OS:
            return seen
        outputs, found = seen
        if found.get(self.spec.target_of(found)) is None:
            moment = outputs.get(out.OLDEST_ALLOCATED)
            if moment is not None:
                found[inputs.NODES_SINCE] = moment
            elif is_import:
                raise InputError(
                    "it shows no version and has no node, so the target is not known",
                    pool=ref.url,
                    next_step="Declare it in the program with target_image_version or nodes_since; creating the "
                    "resource adopts the pool",
                )
        found[inputs.STRATEGY] = UNTOUCHED
        return {**outputs, **found}, found

    def _look(
        self, ref: PoolRef, props: Mapping[str, Any], *, is_import: bool = False
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        crud = _first_used("crud")
        read = crud.read_os if self.spec is inputs.OS else crud.read_image
        seen: tuple[dict[str, Any], dict[str, Any]] | None = read(ref, props, crud.IMPORT if is_import else crud.GET)
        return seen


def without_secrets(failures: list[Failure], bag: Mapping[str, Any], secrets: Collection[str]) -> list[Failure]:
    """The failures without the values of these properties of the program, and without guesses of what they mean."""

    def hidden(failure: Failure) -> Failure:
        name, value = failure.property, bag.get(failure.property)
        if camel(name) not in secrets or value is None:
            return failure
        if inputs.wrong(name, value):
            return Failure(name, f"the secret value is not allowed; allowed: {inputs.allowed(name)}")
        return Failure(name, failure.reason.replace(shown(value), "the secret value"))

    return [hidden(each) for each in failures]


def _kind(old: object, new: object) -> str:
    if old is None:
        return "add"
    return "delete" if new is None else "update"


OS = Resource("PoolOsVersion", inputs.OS, out.OUTPUTS)
IMAGE = Resource("PoolImageVersion", inputs.IMAGE, out.IMAGE_OUTPUTS)
RESOURCES: Mapping[str, Resource] = {each.token: each for each in (OS, IMAGE)}
"""The resources by their type tokens."""
