#!/bin/sh
# run_all.sh BUILD CONFIGURATION...
#
# Runs the programs of every configuration and ends with the line "N passed, N failed", summed
# over all of them. A program that does not end with such a line of its own counts as failed.
# With the variable EMULATOR that command runs the programs.

build=$1
shift
programs=
for configuration; do
    programs="$programs $build/$configuration/run_tests"
    for target in corpus/*; do
        programs="$programs $build/$configuration/fuzz_${target#corpus/}"
    done
done

passed=0
failed=0
log=$build/log
for program in $programs; do
    case $program in
        */fuzz_*)
            target=${program##*/fuzz_}
            ${EMULATOR-} "$program" -runs=20000 -max_total_time=5 "-artifact_prefix=$build/$target-" \
                corpus/"$target"/* ;;
        *)
            ${EMULATOR-} "$program" ;;
    esac >"$log" 2>&1
    status=$?
    counts=$(tail -n 1 "$log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
    counts=${counts:-0 1}
    program_failed=${counts#* }
    if [ $status -ne 0 ] && [ "$program_failed" -eq 0 ]; then
        program_failed=1
    fi
    passed=$((passed + ${counts% *}))
    failed=$((failed + program_failed))
    sed "s|^|$program: |" "$log"
done

echo "$passed passed, $failed failed"
[ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]
