#!/bin/sh
# Stands in for benchmark_model on a phone: the "model" is a TFLite file's first line, then the shell script to play.
for argument; do
  case $argument in --graph=*) model=${argument#--graph=} ;; esac
done
tail -n +2 "$model" >play.sh
. ./play.sh
