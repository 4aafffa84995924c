#!/usr/bin/env bash
# From a corpus to a trained model, converted speech, and a comparison of codes with phonemes.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly STAGES=(- prepare train encode "reconstruct and convert" analyze babble report)

usage() {
    cat <<'HELP'
usage: bash recipes/vctk/run.sh [options] [-- --SECTION.KEY VALUE …]

stages:
  1  prepare                  the corpus becomes manifests            DIR/data/
  2  train                    a model; goes on where it was stopped   DIR/vqvae/
  3  encode                   codes of train, valid and test          DIR/codes/
  4  reconstruct and convert  held-out sentences to listen to         DIR/wavs/
  5  analyze                  codes beside phonemes: table, pictures  DIR/phonemes/
  6  babble                   a prior, and new speech from it         DIR/babble/
  7  report                   all of it on one page                   DIR/report.html

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

fail() {
    echo "run.sh: error: $*" >&2
    exit 2
}

need_number() { # option, value, lowest, highest
    if ! [[ $2 =~ ^[0-9]{1,4}$ ]] || ((10#$2 < $3 || 10#$2 > $4)); then
        fail "$1 must be a whole number from $3 to $4, got '$2'"
    fi
}

stage=1 stop_stage=7 conf=cpu.yaml prior_conf=cpu.yaml db_root='' exp=exp/vctk n_gpus='' overrides=()
while (($#)); do
    case $1 in
        -h | --help) usage && exit 0 ;;
        --) shift && overrides=("$@") && break ;;
        --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" && continue ;;
        --stage | --stop-stage | --conf | --prior-conf | --db-root | --exp-dir | --n-gpus)
            (($# > 1)) || fail "$1 needs a value (see --help)"
            [[ -n $2 && $2 != --* ]] || fail "$1 needs a value, got '$2' (see --help)"
            case $1 in
                --stage) stage=$2 ;;
                --stop-stage) stop_stage=$2 ;;
                --conf) conf=$2 ;;
                --prior-conf) prior_conf=$2 ;;
                --db-root) db_root=$2 ;;
                --exp-dir) exp=${2%/} ;;
                --n-gpus) n_gpus=$2 ;;
            esac
            shift 2
            ;;
        *) fail "unknown option '$1' (see --help; settings of the training go after --)" ;;
    esac
done

need_number --stage "$stage" 1 7
need_number --stop-stage "$stop_stage" 1 7
stage=$((10#$stage)) stop_stage=$((10#$stop_stage))
((stage <= stop_stage)) || fail "--stage $stage comes after --stop-stage $stop_stage"
[[ -z $n_gpus ]] || need_number --n-gpus "$n_gpus" 0 1024
settings() { # option, file or name in a folder, that folder
    if [[ -f $2 ]]; then
        echo "$2"
    elif [[ -f $HERE/$3/$2 ]]; then
        echo "$HERE/$3/$2"
    else
        fail "$1 $2: no such file; $3/ has: $(cd "$HERE/$3" && echo *.yaml)"
    fi
}
conf=$(settings --conf "$conf" conf) || exit
prior_conf=$(settings --prior-conf "$prior_conf" conf/prior) || exit
corpus=${db_root:-$HERE/standin}
[[ -d $corpus ]] || fail "--db-root $corpus: no such folder"
trim=()
[[ -z $db_root ]] || trim=(--check) # reads every file, so that a damaged or silent one is left out
[[ -d $corpus/wav48_silence_trimmed || ! -d $corpus/wav48 ]] || trim=(--trim) # VCTK 0.80
[[ -d $corpus/wav48_silence_trimmed || -d $corpus/wav48 ]] ||
    fail "--db-root $corpus: not VCTK; it has neither wav48_silence_trimmed/ nor wav48/"

python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail "no $python on the PATH; install Python 3.11 or newer"
missing=$("$python" - <<'CHECK' 2>&1
import importlib.util as u
names = "speechvq torch numpy tensorboard librosa soundfile soxr yaml safetensors numba scipy sklearn matplotlib tqdm"
print(*[name for name in names.split() if u.find_spec(name) is None])
CHECK
) || fail "$python does not work: $missing"
[[ -z $missing ]] || fail "$python has no $missing; install them with: $python -m pip install $(cd "$HERE/../.." && pwd)"

run() { "$python" -m "speechvq.cli.$1" "${@:2}"; }

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

begin() { # stage, what it does
    running=$1 began=$SECONDS
    printf '\n== stage %d of 7, %s: %s\n' "$1" "${STAGES[$1]}" "$2"
}

end() { # where the result lies
    printf '== stage %d done in %s: %s\n' "$running" "$(clock $((SECONDS - began)))" "$1"
    running=''
}

need() { # file, stage that makes it
    [[ -e $1 ]] || fail "stage $running needs $1; run stage $2 (${STAGES[$2]}) first: --stage $2"
}

running=''
stopped() {
    local code=$?
    if ((code)) && [[ -n $running ]]; then
        echo "run.sh: stage $running (${STAGES[$running]}) stopped; go on with --stage $running" >&2
    fi
}
trap stopped EXIT

wanted() { ((stage <= $1 && $1 <= stop_stage)); }

mkdir -p "$exp" || fail "--exp-dir $exp: cannot be made"
data=$exp/data model=$exp/vqvae

if wanted 1; then
    begin 1 "$corpus to manifests"
    rm -f "$data/train.jsonl" # written even where recordings cannot be used, which are named
    run prepare "$corpus" --corpus vctk --out "$data" ${trim[@]+"${trim[@]}"} ||
        [[ -s $data/train.jsonl ]]
    end "$data/{train,valid,test}.jsonl"
fi

if wanted 2; then
    begin 2 "a model by $conf"
    need "$data/train.jsonl" 1
    train=(--config "$conf" --data.train "$data/train.jsonl" --data.valid "$data/valid.jsonl"
        --data.test "$data/test.jsonl" --out "$model" --resume ${overrides[@]+"${overrides[@]}"})
    case ${n_gpus:-auto} in
        auto) run train "${train[@]}" ;;
        0) run train "${train[@]}" --device cpu ;;
        1) run train "${train[@]}" --device cuda ;;
        *) "$python" -m torch.distributed.run --standalone --nproc_per_node "$n_gpus" \
            -m speechvq.cli.train "${train[@]}" --device cuda ;;
    esac
    end "$model (README.md there tells about it, metrics.jsonl has every number)"
fi

if wanted 3; then
    begin 3 "every utterance to codes"
    need "$model/model.safetensors" 2
    for part in train valid test; do
        need "$data/$part.jsonl" 1
        run encode --model "$model" --manifest "$data/$part.jsonl" --out "$exp/codes/$part.txt"
    done
    end "$exp/codes/{train,valid,test}.txt"
fi

if wanted 4; then
    begin 4 "held-out sentences, in the same voice and in others"
    need "$model/model.safetensors" 2
    need "$data/test.jsonl" 1
    "$python" "$HERE/listen.py" --model "$model" --manifest "$data/test.jsonl" --out "$exp/wavs"
    end "$exp/wavs/*.wav"
fi

if wanted 5; then
    begin 5 "what phonemes the codes stand for, beside two baselines"
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
    run sample --model "$model" --speaker "$speaker" --count 3 --out "$exp/babble" --codes "$exp/babble/codes.txt"
    run analyze prior --model "$model" --codes "$exp/codes" --out "$exp/babble"
    end "$exp/babble/*.wav"
fi

if wanted 7; then
    begin 7 "results on one page"
    need "$model/model.safetensors" 2
    run report --model "$model" --wavs "$exp/wavs" --phonemes "$exp/phonemes" --babble "$exp/babble" \
        --out "$exp/report.html"
    end "$exp/report.html"
fi

printf '\nStages %d to %d took %s.\n' "$stage" "$stop_stage" "$(clock $SECONDS)"
if ((stop_stage >= 4)) && compgen -G "$exp/wavs/*-original.wav" >/dev/null; then
    first=$(compgen -G "$exp/wavs/*-original.wav" | sort | head -n 1)
    echo "Listen to $first, then to its -reconstruction.wav and its -to-SPEAKER.wav"
    ((stop_stage < 7)) || echo "or open $exp/report.html, which has them all."
fi
