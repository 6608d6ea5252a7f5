"""The one comment of a pull request: posted once, renewed after that, on both services."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines import servers
from tests.pipelines.machine import PIPELINES
from tests.pipelines.servers import TOKEN, Service

MARK = "<!-- batch-os comment v1 -->"


@pytest.fixture
def github() -> Iterator[Service]:
    with servers.running(servers.github) as service:
        yield service


@pytest.fixture
def azure_devops() -> Iterator[Service]:
    with servers.running(servers.azure_devops) as service:
        yield service


def on_github(service: Service, **changed: str) -> dict[str, str]:
    here = {"GITHUB_API_URL": service.url, "GITHUB_REPOSITORY": "acme/pools", "PULL_REQUEST": "7"}
    return {**here, "GITHUB_TOKEN": TOKEN, **changed}


def on_azure_devops(service: Service, **changed: str) -> dict[str, str]:
    here = {
        "SYSTEM_COLLECTIONURI": f"{service.url}/acme/",
        "SYSTEM_TEAMPROJECT": "My Pools",
        "BUILD_REPOSITORY_ID": "r-1",
        "SYSTEM_PULLREQUEST_PULLREQUESTID": "7",
    }
    return {**here, "SYSTEM_ACCESSTOKEN": TOKEN, **changed}


def post(
    tmp_path: Path, environment: dict[str, str], text: str, encoding: str = "utf-8"
) -> subprocess.CompletedProcess[str]:
    """Run the script as a step does; -I: with nothing but the standard library."""
    comment = tmp_path / "comment.md"
    comment.write_text(text, encoding=encoding)
    command = [sys.executable, "-I", PIPELINES / "pull_request_comment.py", comment]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("error: no comment was posted: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert TOKEN not in done.stderr
    return done.stderr


def test_on_github_the_first_run_posts_and_the_second_renews(tmp_path: Path, github: Service) -> None:
    first = post(tmp_path, on_github(github), f"{MARK}\nfirst\n")
    assert (first.returncode, first.stdout) == (0, "posted https://github.example/acme/pools/pull/7#1\n"), first.stderr
    second = post(tmp_path, on_github(github), f"{MARK}\nsecond: zurück\n", "utf-16")  # as PowerShell 5 redirects
    assert (second.returncode, second.stdout) == (0, "updated https://github.example/acme/pools/pull/7#1\n")
    assert [each["body"] for each in github.comments] == [f"{MARK}\nsecond: zurück\n"]


def test_on_github_it_finds_its_comment_on_the_third_page_and_leaves_the_others(
    tmp_path: Path, github: Service
) -> None:
    talk = [{"id": number, "body": f"I saw {MARK}"} for number in range(1, 231)]
    # As GitHub gives back what was typed into a browser; and a comment may be empty.
    ours = {"id": 231, "body": f"{MARK}\r\nold", "html_url": "https://github.example/acme/pools/pull/7#231"}
    github.comments += [*talk, ours, {"id": 232, "body": None}]
    done = post(tmp_path, on_github(github), f"{MARK}\nnew\n")
    assert (done.returncode, done.stdout) == (0, "updated https://github.example/acme/pools/pull/7#231\n")
    assert github.requests.count("GET /repos/acme/pools/issues/7/comments") == 3
    assert github.comments[:230] == talk
    assert github.comments[230]["body"] == f"{MARK}\nnew\n"


def test_on_github_a_bad_token_says_what_the_job_needs(tmp_path: Path, github: Service) -> None:
    said = refused(post(tmp_path, on_github(github, GITHUB_TOKEN="wrong"), f"{MARK}\n"))
    assert "401 Bad credentials. Give the job `permissions: pull-requests: write`" in said


def test_on_github_a_token_that_may_only_read_says_what_the_job_needs(tmp_path: Path, github: Service) -> None:
    github.refusal = (403, "Resource not accessible by integration")
    said = refused(post(tmp_path, on_github(github), f"{MARK}\n"))
    assert "403 Resource not accessible by integration. Give the job `permissions: pull-requests: write`" in said


def test_on_github_an_error_of_its_own_is_shown_and_nothing_is_tried_twice(tmp_path: Path, github: Service) -> None:
    github.refusal = (502, "Server Error")
    said = refused(post(tmp_path, on_github(github), f"{MARK}\n"))
    assert said.rstrip().endswith("/issues/7/comments: 502 Server Error")
    assert sum(each.startswith("POST") for each in github.requests) == 1


def test_on_azure_devops_the_first_run_posts_a_closed_thread_and_the_second_renews_it(
    tmp_path: Path, azure_devops: Service
) -> None:
    talk = {"id": 1, "status": "active", "comments": [{"id": 1, "content": "Why?"}, {"id": 2, "isDeleted": True}]}
    azure_devops.threads.append(talk)
    first = post(tmp_path, on_azure_devops(azure_devops), f"{MARK}\nfirst\n")
    assert (first.returncode, first.stdout) == (0, "posted thread 2 to pull request 7\n"), first.stderr
    # Closed: a policy that wants all threads resolved is not kept waiting by it.
    assert azure_devops.threads[1]["status"] == "closed"
    second = post(tmp_path, on_azure_devops(azure_devops), f"{MARK}\nsecond\n")
    assert (second.returncode, second.stdout) == (0, "updated thread 2 of pull request 7\n")
    (comment,) = azure_devops.threads[1]["comments"]
    assert comment == {"id": 1, "parentCommentId": 0, "commentType": "text", "content": f"{MARK}\nsecond\n"}
    assert azure_devops.threads[0] == talk


def test_on_azure_devops_the_sign_in_page_is_seen_for_what_it_is(tmp_path: Path, azure_devops: Service) -> None:
    said = refused(post(tmp_path, on_azure_devops(azure_devops, SYSTEM_ACCESSTOKEN="wrong"), f"{MARK}\n"))
    assert "203 without JSON. Set SYSTEM_ACCESSTOKEN: $(System.AccessToken) on the step" in said


def test_on_azure_devops_a_missing_right_is_named(tmp_path: Path, azure_devops: Service) -> None:
    azure_devops.refusal = (403, "TF401027: You need the Git 'PullRequestContribute' permission")
    said = refused(post(tmp_path, on_azure_devops(azure_devops), f"{MARK}\n"))
    assert "403 TF401027: You need the Git 'PullRequestContribute' permission. Set SYSTEM_ACCESSTOKEN" in said
    assert "Contribute to pull requests" in said


def test_a_redirect_is_not_followed_since_the_token_would_go_along(
    tmp_path: Path, github: Service, azure_devops: Service
) -> None:
    azure_devops.moved_to = github.url
    said = refused(post(tmp_path, on_azure_devops(azure_devops), f"{MARK}\n"))
    assert "302 Found. Set SYSTEM_ACCESSTOKEN" in said
    assert github.requests == []


@pytest.mark.parametrize("missing", ["GITHUB_TOKEN", "PULL_REQUEST", "GITHUB_REPOSITORY"])
def test_on_github_what_is_not_set_is_named(tmp_path: Path, github: Service, missing: str) -> None:
    said = refused(post(tmp_path, on_github(github, **{missing: ""}), f"{MARK}\n"))
    assert f"{missing} is not set. Is this the run of a pull request?" in said
    assert github.requests == []


def test_on_azure_devops_a_macro_that_was_not_filled_counts_as_not_set(tmp_path: Path, azure_devops: Service) -> None:
    changed = {"SYSTEM_ACCESSTOKEN": "$(System.AccessToken)"}
    assert "SYSTEM_ACCESSTOKEN is not set" in refused(post(tmp_path, on_azure_devops(azure_devops, **changed), MARK))


def test_a_text_without_a_mark_is_not_posted(tmp_path: Path, github: Service) -> None:
    said = refused(post(tmp_path, on_github(github), "Hello"))
    assert "comment.md does not begin with a hidden marker" in said
    assert github.requests == []


def test_no_server_and_no_file_are_errors_without_a_traceback(tmp_path: Path, github: Service) -> None:
    nowhere = on_github(github, GITHUB_API_URL="http://127.0.0.1:9")
    assert "Connection refused" in refused(post(tmp_path, nowhere, MARK))
    command = [sys.executable, PIPELINES / "pull_request_comment.py", tmp_path / "none.md"]
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False)  # noqa: S603
    assert "No such file" in refused(done)
