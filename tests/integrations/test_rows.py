"""Statements that the ORM composes once: they say what the querysets say, whatever is given."""

from django.db import connection
from django.db.models import CharField, F

from integrations.models import Destination, Integration
from integrations.queries import Parameter, Query, Update
from tests.support import factories


def test_a_question_is_composed_once_and_answered_anew(db, django_assert_num_queries):
    one, other = factories.DestinationFactory.create_batch(2)
    composed = []

    def of_site() -> object:
        composed.append(1)
        return Destination.objects.filter(integration=Parameter("site")).select_related(
            "integration"
        )

    question: Query[Destination] = Query(of_site)  # type: ignore[arg-type]
    for course in (one, other, one):
        with django_assert_num_queries(1):
            (found,) = question.all(site=course.integration_id)
            assert found.integration.name == course.integration.name
        assert found == course
        assert found.course_ids == course.course_ids
    assert question.first(site=0) is None
    assert composed == [1]


def test_a_question_of_columns_gives_tuples(db):
    factories.DestinationFactory.create(name="Glazing")
    names = Query(
        lambda: Destination.objects.filter(name=Parameter("name", CharField())).values_list("name")
    )
    assert names.all(name="Glazing") == [("Glazing",)]
    assert names.all(name="' OR 1=1 --") == []


def test_what_never_changes_stands_in_the_statement_as_it_is(db):
    odd = "100 % 'fine' %s"
    factories.DestinationFactory.create(name=odd)
    factories.DestinationFactory.create(name="Glazing")
    named = Query(
        lambda: (
            Destination.objects.exclude(name="Glazing")
            .filter(name=odd, pk__gt=Parameter("least"))
            .values_list("name")
        )
    )
    assert named.all(least=0) == [(odd,)]


def test_postgresql_keeps_the_plan_of_what_is_asked_often(db):
    question = Query(lambda: Destination.objects.filter(pk=Parameter("pk")).values_list("name"))
    for number in range(5):
        question.all(pk=number)
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        kept = [statement for (statement,) in cursor.fetchall()]
    assert any("integrations_destination" in statement for statement in kept)


def test_a_change_tells_how_many_rows_it_made(db):
    site = factories.DestinationFactory.create().integration
    counted = Update(
        lambda: Integration.objects.filter(pk=Parameter("site")),
        secret_version=F("secret_version") + Parameter("more"),
    )
    before = site.secret_version
    assert (counted.make(site=site.pk, more=2), counted.make(site=0, more=1)) == (1, 0)
    site.refresh_from_db()
    assert site.secret_version == before + 2
