"""Open one pull request with what `batch-os bump` wrote, or update the pull request of an earlier night.

    batch-os bump . --yes --json >bump.json
    python bump_pull_request.py bump.json

The changes are one commit on the branch `batch-os-bump`, on top of the branch that is checked out. A later run replaces
this commit if other versions are newest by then, or if the files have changed. Otherwise the branch stays as it is, so
that approvals stay. It also stays if a person has committed to it. Then the script takes the files from the branch, so
that the next steps preview what the pull request has. It writes the number of the pull request to `pull-request.txt`.
That file is missing if there is nothing to change.

It needs Python 3.11, git, and `pull_request_comment.py` beside it. The checkout must be able to push. Variables:

GitHub Actions   The service sets GITHUB_REPOSITORY, GITHUB_API_URL and GITHUB_REF_NAME. Set GITHUB_TOKEN on the step.
                 The job needs `permissions: contents: write, pull-requests: write`. The repository (or its
                 organization) must allow GitHub Actions to create pull requests.
Azure Pipelines  The service sets SYSTEM_COLLECTIONURI, SYSTEM_TEAMPROJECT, BUILD_REPOSITORY_ID and BUILD_SOURCEBRANCH.
                 Set SYSTEM_ACCESSTOKEN on the step. The build service needs the repository's rights "Contribute",
                 "Create branch", "Force push" (on this branch) and "Contribute to pull requests".

Exit codes: 0 the pull request is open, or there is nothing to change; 1 failed, with the reason on stderr.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pull_request_comment import Api, PostError, needed

BRANCH = "batch-os-bump"
REF = f"refs/heads/{BRANCH}"
NAME, EMAIL = "batch-os bump", "batch-os-bump@users.noreply.invalid"
NUMBER = Path("pull-request.txt")
DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
"""A day that `bump` writes for nodes_since is that of its run, so it alone is no reason for a new commit."""


def git(*words: str) -> str:
    """The output of a git command.

    Raises:
        PostError: it failed.

    """
    done = subprocess.run(["git", *words], capture_output=True, encoding="utf-8", check=False)  # noqa: S603, S607 - the runner's git
    if done.returncode != 0:
        raise PostError(f"git {words[0]}: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def message_of(document: dict[str, Any]) -> tuple[str, str]:
    """The title and the text: they depend on the versions only, and not on the day of the run."""
    reasons = document["reasons"]
    lines = sorted({f"- `{each['from']}` -> `{each['newest']}`, seen at {each['source']}" for each in reasons})
    newest = sorted({each["newest"] for each in reasons})
    title = f"Renew pools: {newest[0]}" if len(newest) == 1 else f"Renew pools: {len(newest)} new versions"
    return title, "\n".join([*lines, "", "`batch-os bump` wrote this. A newer version replaces the commit."])


def body_of(text: str, document: dict[str, Any]) -> str:
    """The text of the pull request: that of the commit, and what stays."""
    left = [f"- {each['name']} (stack {each['stack']}): {each['why']}" for each in document["left"]]
    asked = [f"- {each}" for each in document["not_asked"]]
    return "\n".join([text, *(["", "Left as it is:", "", *left, *asked] if left or asked else [])])


def push(files: list[str], message: str) -> str:
    """Commit the files to the branch and push it; return what was done."""
    old = git("ls-remote", "origin", REF).partition("\t")[0]
    if old:
        git("fetch", "--quiet", "origin", REF)
        author, _, text = git("log", "-1", "--format=%ae%n%B", "FETCH_HEAD").partition("\n")
        if author != EMAIL:
            git("checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
            return f"left alone, since {author} has committed to it"
        if text.strip() == message.strip() and not git("diff", "-I", DAY, "FETCH_HEAD", "--", *files):
            git("checkout", "--quiet", "FETCH_HEAD", "--", *files)
            return "unchanged"
    git("checkout", "--quiet", "-B", BRANCH)
    git("add", "--", *files)
    git("-c", f"user.name={NAME}", "-c", f"user.email={EMAIL}", "commit", "--quiet", "--message", message)
    # An empty value means that the branch must not exist.
    git("push", "--quiet", f"--force-with-lease={REF}:{old}", "origin", f"HEAD:{REF}")
    return "replaced" if old else "created"


def on_github(environ: dict[str, str], title: str, body: str) -> int:
    """Open the pull request on GitHub, or update the open one; return its number."""
    repository, base = needed(environ, "GITHUB_REPOSITORY"), needed(environ, "GITHUB_REF_NAME")
    pulls = f"{environ.get('GITHUB_API_URL', 'https://api.github.com').rstrip('/')}/repos/{repository}/pulls"
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    hint = (
        "Give the job `permissions: pull-requests: write`, and allow GitHub Actions to create pull requests in the "
        "settings of the repository"
    )
    api = Api(needed(environ, "GITHUB_TOKEN"), headers, hint)
    head = f"{repository.partition('/')[0]}:{BRANCH}"
    found, _ = api.call("GET", f"{pulls}?{urlencode({'head': head, 'base': base, 'state': 'open'})}")
    if found:
        api.call("PATCH", f"{pulls}/{found[0]['number']}", {"title": title, "body": body})
        return int(found[0]["number"])
    made, _ = api.call("POST", pulls, {"title": title, "body": body, "head": BRANCH, "base": base})
    return int(made["number"])


def on_azure_devops(environ: dict[str, str], title: str, body: str) -> int:
    """Open the pull request on Azure DevOps, or update the active one; return its id."""
    project, repository = needed(environ, "SYSTEM_TEAMPROJECT"), needed(environ, "BUILD_REPOSITORY_ID")
    base, collection = needed(environ, "BUILD_SOURCEBRANCH"), needed(environ, "SYSTEM_COLLECTIONURI").rstrip("/")
    pulls = f"{collection}/{quote(project)}/_apis/git/repositories/{repository}/pullrequests"
    version = {"api-version": "7.1"}
    headers = {"Accept": "application/json", "X-TFS-FedAuthRedirect": "Suppress"}
    hint = (
        "Set SYSTEM_ACCESSTOKEN: $(System.AccessToken) on the step, and give the project's build service the "
        'repository\'s right "Contribute to pull requests"'
    )
    api = Api(needed(environ, "SYSTEM_ACCESSTOKEN"), headers, hint)
    between = {"searchCriteria.sourceRefName": REF, "searchCriteria.targetRefName": base}
    found, _ = api.call("GET", f"{pulls}?{urlencode({**between, 'searchCriteria.status': 'active', **version})}")
    text = {"title": title, "description": body[:4000]}  # the longest that Azure DevOps takes
    if found["value"]:
        number = int(found["value"][0]["pullRequestId"])
        api.call("PATCH", f"{pulls}/{number}?{urlencode(version)}", text)
        return number
    made, _ = api.call("POST", f"{pulls}?{urlencode(version)}", {**text, "sourceRefName": REF, "targetRefName": base})
    return int(made["pullRequestId"])


def main(arguments: list[str], environ: dict[str, str]) -> int:
    """Push the changes and open the pull request."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 1
    NUMBER.unlink(missing_ok=True)
    try:
        document = json.loads(Path(arguments[0]).read_bytes())  # UTF-8, or UTF-16 as PowerShell 5 redirects
        if not document["changes"]:
            print("nothing to change")
            return 0
        title, text = message_of(document)
        files = sorted({each["file"] for each in document["changes"]})
        done = push(files, f"{title}\n\n{text}")
        open_it = on_azure_devops if environ.get("SYSTEM_COLLECTIONURI") else on_github
        number = open_it(environ, title, body_of(text, document))
        NUMBER.write_text(f"{number}\n", encoding="utf-8")
        print(f"branch {BRANCH} {done}; pull request {number}")
    except (OSError, ValueError, KeyError, PostError) as error:
        print(f"error: no pull request was opened: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ)))
