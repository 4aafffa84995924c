#!/usr/bin/env bash
# Recorded speech: the stages of the recipe on Asterisk's voice prompts, two hours by four speakers.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly PACKAGES=(asterisk-core-sounds-{en,es,fr,it,ru}-g722 asterisk-core-sounds-en)

fail() {
    echo "run.sh: error: $*" >&2
    exit 2
}

usage() {
    cat <<'HELP'
usage: bash recipes/asterisk/run.sh [EXP_DIR] [options of recipes/vctk/run.sh …]

Downloads the prompts (Debian or Ubuntu; on other systems unpack the packages into EXP_DIR/sounds),
converts them to recordings, aligns the English ones, and runs stages 2 to 7 of recipes/vctk/run.sh
with conf/phonemes.yaml. The default of EXP_DIR is exp/asterisk in the working folder.
The environment variable PYTHON names the Python to use (default: python3).
HELP
}

exp=exp/asterisk
if (($#)) && [[ $1 != -* ]]; then
    exp=${1%/} && shift
fi
options=("$@") overrides=()
for i in "${!options[@]}"; do
    if [[ ${options[i]} == -- ]]; then
        overrides=("${options[@]:i+1}") options=("${options[@]:0:i}")
        break
    fi
done
for i in "${!options[@]}"; do # before anything is downloaded; their values are looked at later
    case ${options[i]} in
        -h | --help) usage && exit 0 ;;
        --exp-dir*) fail "${options[i]}: the folder is the first argument: run.sh EXP_DIR" ;;
        --db-root*) fail "${options[i]}: the data are Asterisk's prompts" ;;
        --stage | --stage=*)
            value=${options[i]#--stage} value=${value#=}
            [[ ! ${value:-${options[i + 1]-}} =~ ^0*1$ ]] ||
                fail "--stage 1: the data are Asterisk's prompts; stages 2 to 7 of recipes/vctk follow"
            ;;
        --stop-stage | --stop-stage=* | --conf | --conf=* | --prior-conf | --prior-conf=* | --n-gpus | --n-gpus=*) ;;
        -*) fail "unknown option '${options[i]}' (see --help; settings of the training go after --)" ;;
    esac
done
python=${PYTHON:-python3}
"$python" -c 'import speechvq, av, pocketsphinx' 2>/dev/null ||
    fail "$python needs speechvq, av and pocketsphinx: $python -m pip install '$HERE/../..[align]' av"
mkdir -p "$exp"

if [[ ! -d $exp/sounds/usr ]]; then
    command -v apt-get dpkg-deb >/dev/null ||
        fail "apt-get is not installed; unpack the Debian packages ${PACKAGES[*]} into $exp/sounds"
    fetched=$(mktemp -d)
    trap 'rm -rf "$fetched"' EXIT
    (cd "$fetched" && apt-get download "${PACKAGES[@]}") || fail "the download failed; run apt-get update and try again"
    mkdir -p "$fetched/sounds"
    for package in "$fetched"/*.deb; do
        dpkg-deb --extract "$package" "$fetched/sounds"
    done
    rm -rf "$exp/sounds"
    mv "$fetched/sounds" "$exp/sounds"
fi

if [[ ! -f $exp/data/train.jsonl ]]; then
    "$python" "$HERE/prompts.py" "$exp/sounds" --out "$exp/recordings"
    # Manifests are written even where recordings cannot be used, which are named
    "$python" -m speechvq.cli.prepare "$exp/recordings" --corpus folder --trim --out "$exp/data" ||
        [[ -s $exp/data/train.jsonl ]]
fi
for part in train valid test; do # utterances with phones are kept as they are
    "$python" -m speechvq.cli.align "$exp/data/$part.jsonl"
done
if [[ " ${options[*]-} " != *" --conf"[\ =]* ]]; then
    labels=$exp/units/labels.txt
    if [[ ! -f $labels ]]; then
        "$python" "$HERE/../vctk/units.py" --train "$exp/data/train.jsonl" \
            --label "$exp/data/train.jsonl" "$exp/data/valid.jsonl" --out "$labels"
    fi
    options+=(--conf phonemes.yaml)
    overrides=(--stages.labels.labels "$labels" ${overrides[@]+"${overrides[@]}"})
fi
PYTHON=$python bash "$HERE/../vctk/run.sh" --stage 2 --exp-dir "$exp" \
    ${options[@]+"${options[@]}"} -- ${overrides[@]+"${overrides[@]}"}
