"""Test clocks, whose time passes through all apps."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from django import forms
from django.contrib import admin
from django.http import HttpResponseRedirect
from django.shortcuts import redirect
from unfold import widgets

from gtm import clocks
from gtm.clocks_api import leave_to_worker
from gtm.shared import admin_columns as columns
from gtm.shared.admin_base import OperationAdmin
from gtm.shared.admin_steps import StepForm, step
from gtm.shared.errors import Conflict, DomainError
from gtm.shared.models import TestClock

log = structlog.get_logger(__name__)
PATIENCE = timedelta(seconds=20)


class AdvanceForm(StepForm):
    to = forms.SplitDateTimeField(label="To", widget=widgets.UnfoldAdminSplitDateTimeWidget())

    def __init__(self, *args: Any, instance: TestClock, **kwargs: Any) -> None:
        super().__init__(*args, instance=instance, **kwargs)
        self.fields["to"].initial = instance.target_time or instance.frozen_time
        self.fields["to"].help_text = "In UTC."


@admin.register(TestClock)
class TestClockAdmin(OperationAdmin):
    __test__ = False  # not a test class
    list_display = ("__str__", "frozen_time", "state", "created_at")
    ordering = ("-created_at",)
    fieldsets = ((None, {"fields": ("name", ("frozen_time", "target_time"), ("state", "last_error"))}),)
    add_fieldsets = ((None, {"fields": ("name", "frozen_time")}),)
    actions_detail = ("advance", "delete")
    state = columns.status("status")

    def create(self, *, at: datetime, **values: Any) -> TestClock:
        return clocks.create(**{"name": ""} | values)

    @step(
        "Advance",
        explain=lambda clock: (
            f"Time passes from {clock.frozen_time:%d %B %Y, %H:%M} UTC on; all that falls due is done."
        ),
        done=lambda clock: f"The clock is {clock.status} at {clock.frozen_time:%d %B %Y, %H:%M} UTC.",
        form=AdvanceForm,
        main=True,
    )
    def advance(self, clock: TestClock, *, at: datetime, to: datetime) -> None:
        try:
            clocks.advance(clock=clock, to=to, patience=PATIENCE)
        except DomainError:
            raise
        except Exception as error:  # whatever an app raised on the way is noted on the clock: say it here too
            log.exception("clock_failed", clock=clock.public_id)
            raise Conflict(f"The clock stopped: {clock.last_error}", code="clock_failed") from error
        if clock.status == TestClock.Status.ADVANCING:
            leave_to_worker(clock)

    @step(
        "Delete",
        explain=lambda clock: f"{clock} goes, with every customer, invoice and account on it. This can't be undone.",
        danger=True,
    )
    def delete(self, clock: TestClock, *, at: datetime) -> HttpResponseRedirect:
        clocks.delete(clock=clock)
        return redirect("admin:shared_testclock_changelist")
