#!/usr/bin/env bash
# From a corpus to a trained model, converted speech, and a comparison of codes with phonemes.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly STAGES=(- prepare train encode "reconstruct and convert" analyze generate report)

usage() {
    cat <<'HELP'
usage: bash recipes/vctk/run.sh [options] [-- --SECTION.KEY VALUE …]

stages:
  1  prepare                  the corpus becomes manifests            DIR/data/
  2  train                    a model; goes on where it was stopped   DIR/vqvae/
  3  encode                   codes of train, valid and test          DIR/codes/
  4  reconstruct and convert  held-out sentences to listen to         DIR/wavs/
  5  analyze                  codes beside phonemes: table, pictures  DIR/phonemes/
  6  generate                 a prior, and new speech from it         DIR/generation/
  7  report                   all of it on one page                   DIR/report/index.html

options:
  --stage N         begin with stage N (default: 1)
  --stop-stage N    end with stage N (default: 7)
  --conf FILE       settings of model and training, or a name in conf/ (default: conf/cpu.yaml)
  --prior-conf FILE settings of the prior, or in conf/prior/ (default: conf/prior/cpu.yaml)
  --db-root DIR     VCTK, 0.80 or 0.92 (default: the stand-in corpus beside this script)
  --exp-dir DIR     where the results go (default: exp/vctk in the working folder)
  --n-gpus N        GPUs to train on (default: one if there is one, else the CPU)
  --help            this text
  -- …              everything after goes to speechvq-train: -- --stages.decoder.steps 3000

The environment variable PYTHON names the Python to use (default: python3).
HELP
}

source "$HERE/../common.sh"

stage=1 stop_stage=7 conf=cpu.yaml prior_conf=cpu.yaml db_root='' exp=exp/vctk n_gpus='' overrides=()
while (($#)); do
    case $1 in
        -h | --help) usage && exit 0 ;;
        --) shift && overrides=("$@") && break ;;
        --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" && continue ;;
        --stage | --stop-stage | --conf | --exp-dir | --n-gpus) take "$@" && shift 2 ;;
        --prior-conf) need_value "$@" && prior_conf=$2 && shift 2 ;;
        --db-root) need_value "$@" && db_root=$2 && shift 2 ;;
        *) fail "unknown option '$1' (see --help; settings of the training go after --)" ;;
    esac
done

need_stages
conf=$(settings --conf "$conf" conf) || exit
prior_conf=$(settings --prior-conf "$prior_conf" conf/prior) || exit
corpus=${db_root:-$HERE/standin}
[[ -d $corpus ]] || fail "--db-root $corpus: no such folder"
[[ -d $corpus/wav48_silence_trimmed || -d $corpus/wav48 ]] ||
    fail "--db-root $corpus: not VCTK; it has neither wav48_silence_trimmed/ nor wav48/"
check=()
[[ -z $db_root ]] || check=("$(how_to_read "$corpus")")

find_python
mkdir -p "$exp" 2>/dev/null || fail "--exp-dir $exp: cannot be made"
data=$exp/data model=$exp/vqvae

if wanted 1; then
    begin 1 "$corpus to manifests"
    prepare "$data" "$corpus" --corpus vctk ${check[@]+"${check[@]}"}
    end "$data/{train,valid,test}.jsonl"
fi

if wanted 2; then train_model; fi
if wanted 3; then encode_parts; fi
if wanted 4; then listen; fi

if wanted 5; then
    begin 5 "what phonemes the codes stand for, beside four baselines"
    need "$model/model.safetensors" 2
    need "$data/test.jsonl" 1
    if ! grep -q '"phones"' "$data/train.jsonl"; then
        # Real VCTK has no phone labels: align the smaller parts, the one to map on, the other to score
        "$python" -c 'import pocketsphinx' 2>/dev/null ||
            fail "this corpus has no phone labels; to make them: $python -m pip install pocketsphinx"
        for part in valid test; do
            echo "phone labels of $part by forced alignment"
            run align "$data/$part.jsonl"
        done
    fi
    run analyze phonemes --model "$model" --out "$exp/phonemes"
    end "$exp/phonemes/"
fi

if wanted 6; then
    begin 6 "a prior over the codes, and three samples of new speech"
    need "$model/model.safetensors" 2
    for part in train valid; do need "$exp/codes/$part.txt" 3; done
    device=()
    [[ ${n_gpus:-auto} != 0 ]] || device=(--device cpu)
    run train prior --model "$model" --config "$prior_conf" --codes "$exp/codes" --resume \
        ${device[@]+"${device[@]}"}
    speaker=$("$python" -m speechvq.cli.convert --model "$model" --list-speakers 2>/dev/null | sed -n 1p)
    run sample --model "$model" --speaker "$speaker" --count 3 --out "$exp/generation" --codes "$exp/generation/codes.txt"
    run analyze prior --model "$model" --codes "$exp/codes" --out "$exp/generation"
    end "$exp/generation/*.wav"
fi

if wanted 7; then report 7; fi

finish
