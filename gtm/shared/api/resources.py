"""What a resource of the API is made of: a serializer, a view set and a router.

A complete resource::

    class PlanSerializer(ResourceSerializer):
        family = ReferenceField(Family)

        class Meta:
            model = Plan
            fields = resource_fields("code", "name", "family", "status")
            read_only_fields = ("status",)
            create_only_fields = ("code",)

    class PlanViewSet(Creates, Updates, ResourceViewSet):
        model = Plan
        serializer_class = PlanSerializer

        def perform_create(self, data):
            return plans.create(**data, at=db.now())

        def perform_update(self, instance, data):
            return plans.change(plan=instance, at=db.now(), **data)

        @action(detail=True, methods=["post"])
        def publication(self, request, id):
            return self.answer(plans.publish(plan=self.get_object(), at=db.now()))

    router = Router()
    router.register("plans", PlanViewSet)
    urlpatterns = router.urls
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from django.db import models
from django.db.models import Model, QuerySet
from django.http import Http404
from rest_framework import exceptions, mixins, routers, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from gtm.shared.api import fields, references
from gtm.shared.api.filters import ResourceFilter, StrictFilterBackend
from gtm.shared.api.views import ApiView
from gtm.shared.models import Row, TestClock


class StrictSerializer(serializers.Serializer):
    """Takes the names it knows and refuses all others, so that a misspelt one is not lost in silence.

    What can't be set (read-only, or after creation ``Meta.create_only_fields``) may be sent back unchanged, as it is by
    whoever reads an object, edits it and writes it whole.
    """

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            problems = {name: [problem] for name, problem in self._unsettable(data)}
            if problems:
                raise serializers.ValidationError(problems)
            data = {name: value for name, value in data.items() if name not in self._settled()}
        return super().to_internal_value(data)

    def _unsettable(self, data: Mapping[str, Any]) -> Iterator[tuple[str, exceptions.ErrorDetail]]:
        settled = self._settled() & data.keys()
        current = self.to_representation(self.instance) if settled and self.instance is not None else {}
        for name in data:
            if name not in self.fields:
                yield name, exceptions.ErrorDetail("There is no such field.", code="unknown_field")
            elif name in settled and (name not in current or current[name] != data[name]):
                yield name, exceptions.ErrorDetail("This can't be set.", code="read_only")

    def _settled(self) -> set[str]:
        created = getattr(getattr(self, "Meta", None), "create_only_fields", ()) if self.instance is not None else ()
        return {name for name, field in self.fields.items() if field.read_only} | set(created)


class NoInput(StrictSerializer):
    """For verbs that take nothing: ``self.validated(NoInput)`` refuses a body that says more than the verb does."""


class ResourceSerializer(StrictSerializer, serializers.ModelSerializer):
    """What every object of the API has; subclasses name the rest by ``fields = resource_fields(…)``.

    Columns map to the strict fields of ``fields``. Where objects of a kind can stand on a test clock, declare
    ``test_clock = ReferenceField(TestClock, required=False, allow_null=True)`` and make it create-only.
    """

    serializer_field_mapping: ClassVar[dict[type[models.Field], type[serializers.Field]]] = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.BooleanField: fields.StrictBooleanField,
        models.IntegerField: fields.IntegerField,
        models.SmallIntegerField: fields.IntegerField,
        models.PositiveIntegerField: fields.IntegerField,
        models.PositiveSmallIntegerField: fields.IntegerField,
        models.BigIntegerField: fields.MoneyField,
        models.DecimalField: fields.RateField,
        models.DateTimeField: fields.UtcDateTimeField,
        models.DateField: fields.DateField,
        models.JSONField: fields.JsonObjectField,
    }
    serializer_related_field = fields.ReferenceField

    id = fields.PublicIdField()
    external_id = serializers.CharField(required=False, allow_null=True, max_length=200)
    metadata = fields.MetadataField(required=False)
    version = fields.IntegerField(read_only=True)
    created_at = fields.UtcDateTimeField(read_only=True)
    updated_at = fields.UtcDateTimeField(read_only=True)
    test_clock = fields.ReferenceField(TestClock, read_only=True, allow_null=True)


def resource_fields(*names: str) -> list[str]:
    """The names of a resource in the order of its answer, with what every object has around them."""
    common = ["metadata", "version", "created_at", "updated_at", "test_clock"]
    return ["id", "external_id", *names, *(name for name in common if name not in names)]


class ResourceViewSet(ApiView, mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """Lists and retrieves the rows of ``model`` that the caller may see; add ``Creates`` and ``Updates`` in front.

    Objects are addressed by id, code or ``external_id:…``; whatever is unknown, malformed or not the caller's is 404.
    """

    model: type[Row]
    lookup_field = lookup_url_kwarg = "id"
    lookup_value_regex = "[^/]+"
    filter_backends = (StrictFilterBackend,)
    filterset_class: Any = ResourceFilter
    ordering: Sequence[str] = ("-created_at", "-id")

    def get_queryset(self) -> QuerySet[Any]:
        """Override to select and prefetch what the serializer shows."""
        return references.visible(self.model, self.principal)

    def get_object(self) -> Any:
        """The addressed object; on a write its version is checked against ``If-Match``.

        Raises PermissionDenied on a write of what the caller may read and not change.
        """
        found = references.find(self.get_queryset(), self.kwargs[self.lookup_url_kwarg])
        if found is None:
            raise Http404
        if self.writes and not references.is_workable(found, self.principal):
            raise exceptions.PermissionDenied
        self.check_object_permissions(self.request, found)
        self.check_version(found)
        return found

    def validated(
        self, serializer_class: type[serializers.BaseSerializer] | None = None, **options: Any
    ) -> dict[str, Any]:
        """The body's content, by ``serializer_class`` or the view's own. Raises ValidationError."""
        make = serializer_class or self.get_serializer_class()
        serializer = make(data=self.request.data, context=self.get_serializer_context(), **options)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def answer(self, instance: Model, *, status: int = status.HTTP_200_OK) -> Response:
        """The object as a read would show it now, with the values that the database gave it."""
        shown = self.get_queryset().filter(pk=instance.pk).first() or instance
        return Response(self.get_serializer(shown).data, status=status)


class Creates:
    """POST to the list: one domain call by ``perform_create``, answered with 201. 403 for who only reads such rows."""

    def create(self: Any, request: Request) -> Response:
        if not references.may_add(self.model, self.principal):
            raise exceptions.PermissionDenied
        return self.answer(self.perform_create(self.validated()), status=status.HTTP_201_CREATED)

    def perform_create(self, data: dict[str, Any]) -> Model:
        raise NotImplementedError


class Updates:
    """PATCH: one domain call by ``perform_update``; what the body leaves out stays as it is."""

    def partial_update(self: Any, request: Request, **kwargs: Any) -> Response:
        instance = self.get_object()
        data = self.validated(instance=instance, partial=True)
        return self.answer(self.perform_update(instance, data))

    def perform_update(self, instance: Any, data: dict[str, Any]) -> Model:
        raise NotImplementedError


class Router(routers.SimpleRouter):
    """Addresses without a slash at the end, as the contract writes them; one is taken too."""

    def __init__(self) -> None:
        super().__init__(trailing_slash=False)
        self.trailing_slash = "/?"

    def get_default_basename(self, viewset: Any) -> str:
        return viewset.model._meta.model_name
