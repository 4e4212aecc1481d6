#!/bin/sh
# SPDX-License-Identifier: MIT
# An agent in the shell: counts, writes the number to a file, says it, and keeps its place in a variable.
# Inside of an agent `agentd` finds daemon and session by the environment and may write to its own session.
# Killed at any moment it goes on where it was: a file is replaced and never half written, and the place moves
# on last. COUNTER_PAUSE: seconds between numbers.
set -eu
me=$AGENTD_SESSION_ID
n=$(agentd variables "$me" get n 2>/dev/null || echo 0)
echo "going on behind $n"
while sleep "${COUNTER_PAUSE:-1}"; do
        n=$((n + 1))
        echo "$n" >count.new
        mv count.new count
        agentd send "$me" --role assistant "I have counted to $n" >/dev/null
        agentd variables "$me" set n "$n" >/dev/null
        echo "count $n"
done
