"""Over HTTP: what browsers are told by every answer, and how many logins anybody may try."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from local.deadline import wait_until
from tests.deployed.flows import assert_problem

pytestmark = pytest.mark.xdist_group("flows")

ALWAYS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def test_every_answer_tells_browsers_what_not_to_do(anybody, producer, stack):
    """Answers of the functions, and those that API Gateway gives by itself."""
    answers = [
        producer.status(),
        anybody.call("POST", "/users/login", stack.users["producer"]),
        anybody.call("GET", "/docs"),
        anybody.call("POST", "/messages/send", {}),  # 401
        producer.call("GET", "/nowhere"),  # 404
        producer.call("POST", "/messages/send", {}),  # 422
        producer.call("POST", "/messages/dlq/reprocess", {}),  # 403
    ]

    assert [answer.status for answer in answers] == [200, 200, 200, 401, 404, 422, 403]
    for answer in answers:
        assert {name: answer.headers.get_all(name) for name in ALWAYS} == {
            name: [value] for name, value in ALWAYS.items()
        }


def test_page_of_the_docs_runs_its_own_scripts_and_is_in_no_frame(anybody):
    """Chromium showed the page whole under this policy, by hand."""
    page = anybody.call("GET", "/docs")

    policy = dict(
        part.strip().partition(" ")[::2]
        for part in page.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert len(policy["script-src"].split()) == page.text.count("</script>")
    assert "unsafe" not in policy["script-src"]
    assert "persistAuthorization: false" in page.text  # a token is gone with its tab


def test_so_many_logins_are_too_many_for_a_moment(anybody):
    """API Gateway counts them before a function has to hash a password: here, none would do."""

    def ask(_number):
        return anybody.call("POST", "/users/login", {})

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(60)))

    assert {answer.status for answer in answers} == {422, 429}
    refused = next(answer for answer in answers if answer.status == 429)
    assert_problem(refused, 429, "too_many_requests")
    # The next test finds room again.
    wait_until(
        lambda: all(ask(number).status == 422 for number in range(10)),
        60, "it is over", interval=3,
    )  # fmt: skip
