"""The sample schools of the demo and `manage.py sandbox`."""

from integrations.thinkific.sandbox.school import School
from integrations.thinkific.sandbox.server import Sandbox

SAMPLE_KEY = "acme0000demo1111acme2222demo3333"
SECOND_KEY = "evening0demo1111evening2demo3333"
_COURSES = (
    "Watercolor for Beginners",
    "Drawing Faces",
    "The Loose Landscape",
    "Color Theory in a Weekend",
    "Ink and Wash",
    "Selling Your Art Online",
)


def add_sample_school(sandbox: Sandbox) -> School:
    """Add the art school `acme`: courses 501 to 506, bundles 801 and 802, signup fields."""
    school = sandbox.add_school("acme", key=SAMPLE_KEY)
    courses = [
        school.add_course(name, course_id=501 + number) for number, name in enumerate(_COURSES)
    ]
    school.add_bundle("The Painter's Path", courses[:3], bundle_id=801)
    school.add_bundle("Everything Pass", courses, bundle_id=802)
    school.add_product("Studio Community", productable_type="Community")
    school.add_field("Company")
    school.add_field("Phone")
    school.add_field(
        "Country", field_type="dropdown", options=("Canada", "United Kingdom", "United States")
    )
    return school


def add_second_school(sandbox: Sandbox) -> School:
    """Add the school `evening` with two courses, for a person to connect."""
    school = sandbox.add_school("evening", key=SECOND_KEY)
    school.add_course("Pottery at Night", course_id=601)
    school.add_course("Bookbinding", course_id=602)
    return school
