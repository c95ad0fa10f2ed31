"""Makes the floor's table: `python -m tests.bench.bare_table`."""

import os


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bench.bare_settings"
    import django

    django.setup()
    from tests.bench import bare

    bare.make_table()


if __name__ == "__main__":
    main()
