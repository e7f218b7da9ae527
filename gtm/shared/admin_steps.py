"""Steps: buttons on an object's page. Each asks first, saying what will happen, then calls its operation once."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from unfold.enums import ActionVariant

from gtm.shared.admin_base import digest, instant_of, page_of
from gtm.shared.errors import DomainError

P = ParamSpec("P")
SHOWN = "_shown"  # a hidden field: which outcome the page has shown
Words = str | Callable[[Any], str]


class StepForm(forms.Form):
    """What a step asks for. Without fields it only asks whether to go on."""

    def __init__(self, *args: Any, instance: models.Model, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance = instance

    def outcome(self) -> Sequence[str]:
        """What the step will come to with what was entered, line by line. Shown first, it is taken when seen.

        Raises DomainError where the step would.
        """
        return ()

    def field_of(self, attr: str | None) -> str | None:
        """The field that an error's ``attr`` is about; None for the form as a whole."""
        return attr if attr in self.fields else None


def step(
    label: str,
    *,
    explain: Words,
    done: Words = "",
    form: type[StepForm] = StepForm,
    applies: Callable[[Any], bool] = lambda instance: True,
    permission: str = "founder",
    main: bool = False,
    danger: bool = False,
    shown_in: str = "",
) -> Callable[[Callable[Concatenate[Any, Any, P], Any]], Callable[..., HttpResponse]]:
    """Make a method ``(page, instance, *, at, **what the form asked)`` a button named ``label`` on the object's page.

    ``main``: what is most likely wanted next; ``danger``: what can't be undone. ``shown_in``: a template that shows
    what the method returned, as ``result``, once and instead of the object's page.

    It is shown where ``applies``, to those with ``has_<permission>_permission``. The page asks with the sentence
    ``explain``; afterwards ``done`` is said on the object's page, unless the method gives an answer of its own.
    """

    def decorate(method: Callable[..., Any]) -> Callable[..., HttpResponse]:
        @wraps(method)
        def view(page: Any, request: HttpRequest, object_id: str) -> HttpResponse:
            instance = page.get_object(request, object_id)
            if instance is None:
                return page._get_obj_does_not_exist_redirect(request, page.opts, object_id)
            if not getattr(page, f"has_{permission}_permission")(request, instance):
                raise PermissionDenied
            asked = form(request.POST if request.method == "POST" else None, instance=instance)
            if asked.is_valid() and (outcome := _unseen(request, asked)):
                return _ask(page, request, instance, asked, label, _said(explain, instance), danger, outcome)
            if asked.is_valid():
                answer = _take(page, method, instance, asked)
                if asked.is_valid() and shown_in:
                    return _show(page, request, instance, shown_in, answer)
                if asked.is_valid():
                    return answer or _tell(page, request, instance, _said(done, instance))
            return _ask(page, request, instance, asked, label, _said(explain, instance), danger)

        view.short_description = label  # type: ignore[attr-defined]
        view.allowed_permissions = [permission]  # type: ignore[attr-defined]
        view.applies = applies  # type: ignore[attr-defined]
        view.variant = ActionVariant.PRIMARY if main else ActionVariant.DEFAULT  # type: ignore[attr-defined]
        view.attrs = {}  # type: ignore[attr-defined]
        view.original_function_name = method.__name__  # type: ignore[attr-defined]
        return view

    return decorate


def handout(
    label: str, *, applies: Callable[[Any], bool] = lambda instance: True
) -> Callable[[Callable[[Any, Any], HttpResponse]], Callable[..., HttpResponse]]:
    """Make a method ``(page, instance)``, which answers with a file, a button named ``label``; 404 unless it applies.

    What the operation refuses is said on the object's page.
    """

    def decorate(method: Callable[[Any, Any], HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(method)
        def view(page: Any, request: HttpRequest, object_id: str) -> HttpResponse:
            instance = page.get_object(request, object_id)
            if instance is None or not applies(instance):
                raise Http404
            if not page.has_view_permission(request, instance):
                raise PermissionDenied
            try:
                return method(page, instance)
            except DomainError as refusal:
                page.message_user(request, refusal.detail, messages.WARNING)
                return HttpResponseRedirect(page_of(page.model, instance.pk))

        view.short_description = label  # type: ignore[attr-defined]
        view.allowed_permissions = ["view"]  # type: ignore[attr-defined]
        view.applies = applies  # type: ignore[attr-defined]
        view.variant = ActionVariant.DEFAULT  # type: ignore[attr-defined]
        view.attrs = {}  # type: ignore[attr-defined]
        view.original_function_name = method.__name__  # type: ignore[attr-defined]
        return view

    return decorate


def _said(words: Words, instance: Any) -> str:
    return words(instance) if callable(words) else words


def _take(page: Any, method: Callable[..., Any], instance: Any, asked: StepForm) -> Any:
    """Call the operation; what it refuses becomes an error of the form."""
    try:
        return method(page, instance, at=instant_of(instance), **asked.cleaned_data)
    except DomainError as error:
        asked.add_error(asked.field_of(error.attr), error.detail)
        return None


def _unseen(request: HttpRequest, asked: StepForm) -> Sequence[str]:
    """What the step will come to, unless that was shown already; what it refuses becomes an error of the form."""
    try:
        outcome = asked.outcome()
    except DomainError as error:
        asked.add_error(asked.field_of(error.attr), error.detail)
        return ()
    return () if request.POST.get(SHOWN) == digest(outcome) else outcome


def _show(page: Any, request: HttpRequest, instance: Any, template: str, result: Any) -> HttpResponse:
    told = {"title": str(instance), "opts": page.opts, "original": instance, "result": result}
    context = page.admin_site.each_context(request) | told
    return TemplateResponse(request, template, context, headers={"Cache-Control": "no-store"})


def _tell(page: Any, request: HttpRequest, instance: Any, words: str) -> HttpResponse:
    if words:
        page.message_user(request, words, messages.SUCCESS)
    return HttpResponseRedirect(page_of(page.model, instance.pk))


def _ask(
    page: Any,
    request: HttpRequest,
    instance: Any,
    asked: StepForm,
    label: str,
    words: str,
    danger: bool,
    outcome: Sequence[str] = (),
) -> HttpResponse:
    context = page.admin_site.each_context(request) | {
        "title": label,
        "opts": page.opts,
        "original": instance,
        "words": words,
        "form": asked,
        "label": label,
        "is_danger": danger,
        "outcome": outcome,
        "shown": digest(outcome) if outcome else "",
        "back": page_of(page.model, instance.pk),
    }
    return TemplateResponse(request, "admin/step.html", context)
