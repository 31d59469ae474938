# Completion of azure-vnet and azure-vnet-ipam in bash. It reads the help of the program that is being typed, so it knows what that takes.
_azure_vnet() {
    local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} help command choices=
    COMPREPLY=()
    help=$("$program" --help 2>/dev/null) || return 0
    command=${COMP_WORDS[1]}
    if [ "$COMP_CWORD" -eq 1 ]; then
        choices="$(sed -n 's/^  azure-vnet[a-z-]* \([a-z][a-z]*\).*/\1/p' <<<"$help" | sort -u) --help --version"
    elif [ "$command" = host ] && [ "$COMP_CWORD" -eq 2 ]; then
        choices='prepare release restore'
    else
        [ "$command" != host ] || command="host ${COMP_WORDS[2]}"
        help=$(awk -v command="$command" '/^  azure-vnet/ { on = index($0, "  " $1 " " command " ") == 1 } on' <<<"$help")
        case $before in
        -o) choices="table $(sed -n 's/.*\[-o \([^]]*\)\].*/\1/p' <<<"$help" | tr '|' ' ')" ;;
        --level) choices='ok warning failure' ;;
        --data-dir | --root)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "$word")
            return 0
            ;;
        --config | --textfile)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return 0
            ;;
        --network) choices=$(_azure_vnet_known "$program" name) ;;
        -n) choices=$(_azure_vnet_known "$program" podNamespace) ;;
        --ignore) ;;
        *)
            choices="$(grep -o '\[-[^] ]*' <<<"$help" | tr -d '[') --help"
            case $word in
            -*) ;;
            *) ! grep -q '\[POD\]' <<<"$help" || choices="$choices $(_azure_vnet_known "$program" podName)" ;;
            esac
            ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}

# _azure_vnet_known lists what the node has, if the one who types may see it.
_azure_vnet_known() { # _azure_vnet_known PROGRAM FIELD
    "$1" show -o json 2>/dev/null | sed -n 's/.*"'"$2"'": "\([^"]*\)".*/\1/p' | sort -u
}

complete -F _azure_vnet azure-vnet azure-vnet-ipam
