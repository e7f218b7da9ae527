import os
import threading
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtm.shared import ids

LOWEST = UUID(int=0)
HIGHEST = UUID(int=2**128 - 1)


class TestUuid7:
    def test_has_the_version_and_variant_of_rfc_9562(self) -> None:
        made = ids.uuid7()
        assert made.version == 7
        assert made.variant == "specified in RFC 4122"

    def test_grows_even_within_one_millisecond(self) -> None:
        made = [ids.uuid7() for _ in range(20_000)]
        assert made == sorted(made)
        assert len(set(made)) == len(made)

    def test_grows_while_the_clock_stands_still_or_steps_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = ids.uuid7()
        monkeypatch.setattr(ids.time, "time_ns", lambda: 0)
        after = [ids.uuid7() for _ in range(3)]
        assert [before, *after] == sorted([before, *after])

    def test_borrows_a_millisecond_when_the_counter_overflows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sequence = ids._Sequence()
        monkeypatch.setattr(ids.time, "time_ns", lambda: 5_000_000)
        sequence.advance()
        sequence._counter = 2**42 - 1
        milliseconds, counter, _bits = sequence.advance()
        assert milliseconds == 6
        assert counter < 2**41

    def test_is_unique_across_threads(self) -> None:
        made: list[UUID] = []

        def make() -> None:
            made.extend([ids.uuid7() for _ in range(2_000)])

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(made)) == 8_000

    def test_a_forked_child_begins_a_sequence_of_its_own(self) -> None:
        before = ids._sequence
        child = os.fork()
        if child == 0:
            os._exit(1 if ids._sequence is before else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class TestEncode:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (LOWEST, "cus_00000000000000000000000000"),
            (HIGHEST, "cus_7zzzzzzzzzzzzzzzzzzzzzzzzz"),
            (UUID(int=32), "cus_00000000000000000000000010"),
        ],
    )
    def test_writes_a_fixed_width_of_lower_case_crockford(self, value: UUID, text: str) -> None:
        assert ids.encode("cus", value) == text

    @given(st.uuids(), st.uuids())
    def test_sorts_as_the_uuids_sort(self, one: UUID, other: UUID) -> None:
        assert (ids.encode("inv", one) < ids.encode("inv", other)) == (one < other)


class TestDecode:
    @given(st.uuids(), st.sampled_from(["cus", "inv", "clock"]))
    def test_undoes_encode(self, value: UUID, prefix: str) -> None:
        assert ids.decode(ids.encode(prefix, value), prefix=prefix) == value

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "cus",
            "cus_",
            "00000000000000000000000000",
            "inv_00000000000000000000000000",
            "cus_cus_00000000000000000000000000",
            "cus_0000000000000000000000000",
            "cus_000000000000000000000000000",
            "cus_0000000000000000000000000u",
            "cus_0000000000000000000000000A",
            "cus_80000000000000000000000000",
            "cus_٠0000000000000000000000000",
            "cus_0000000000000000000000000 ",
            "cus_0000000000000000000000000\n",
        ],
    )
    def test_refuses_another_prefix_length_alphabet_or_overflow(self, text: str) -> None:
        with pytest.raises(ValueError, match="id"):
            ids.decode(text, prefix="cus")
