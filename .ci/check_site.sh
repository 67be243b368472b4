#!/usr/bin/env bash
# Fails if a page of the built site would fetch something from the network: .ci/check_site.sh [FOLDER].
set -euo pipefail
folder=${1:-site}
[ -f "$folder/index.html" ] || { echo "$folder holds no site" >&2; exit 1; }
# Links that a reader follows (<a href>) are fine; scripts, styles, fonts and images must come from the site itself.
if grep -rnoiE '<(script|link|img|iframe|source)\b[^>]*(src|href)="?(https?:)?//[^>]*>' "$folder" --include='*.html' ||
    grep -rnoiE "(@import|url\()[[:space:]]*[\"']?(https?:)?//[^)]*" "$folder" --include='*.css' --include='*.html'; then
    echo "the site fetches what is listed above" >&2
    exit 1
fi
