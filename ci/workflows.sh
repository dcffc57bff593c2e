#!/usr/bin/env bash
# Proves: the files in .github follow their schemas, and zizmor finds no weakness in the workflows:
# actions are pinned by hash, permissions are the least, nothing is inserted into a script.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

# Pinned: a new version may have new rules.
versions=(zizmor==1.32.0 check-jsonschema==0.39.0)
tools=$cache/workflows-$(cksum <<<"${versions[*]}" | cut -d' ' -f1)
if [ ! -x "$tools/bin/zizmor" ] || [ ! -x "$tools/bin/check-jsonschema" ]; then
    python3 -m venv --clear "$tools" ||
        skip "needs Python 3 with its module venv: install python3-venv"
    "$tools/bin/pip" install --quiet "${versions[@]}" || skip "PyPI does not provide ${versions[*]}"
fi

for schema in github-workflows:.github/workflows/*.yml dependabot:.github/dependabot.yml; do
    # shellcheck disable=SC2086 # a pattern
    "$tools/bin/check-jsonschema" --builtin-schema "vendor.${schema%%:*}" ${schema#*:}
done
# Offline: a developer has no token. The rest asks the hoster whether a hash belongs to its tag.
"$tools/bin/zizmor" --quiet --offline --persona=auditor .github
