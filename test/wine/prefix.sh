#!/bin/sh
# Makes a Wine prefix that passes for Windows Server 2022 with HNS: prefix.sh FOLDER DLL...
# The DLLs go into its system32. Call it in the network namespace in which Wine may run (see run.sh).
# Nothing may write into it once it is made: who clones it with hard links copies its registry (*.reg) apart.
set -eu

folder=$(realpath -m "$1") # Wine wants absolute paths
shift
# Why without randomised addresses: see run.sh.
export WINEPREFIX="$folder.new" WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml=
wine="setarch -R /usr/lib/wine/wine64" server=/usr/lib/wine/wineserver64

rm -rf "$folder" "$folder.new"
mkdir -p "$folder.new"
trap '"$server" -k || true' EXIT
"$server" -p
$wine wineboot -i >/dev/null 2>&1

# What Windows Server 2022 says of itself. Wine's own setting of the version would win, so it goes.
current='HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
$wine reg add "$current" /v CurrentBuild /t REG_SZ /d 20348 /f >/dev/null
$wine reg add "$current" /v CurrentBuildNumber /t REG_SZ /d 20348 /f >/dev/null
$wine reg add "$current" /v CurrentVersion /t REG_SZ /d 10.0 /f >/dev/null
$wine reg add "$current" /v CurrentMajorVersionNumber /t REG_DWORD /d 10 /f >/dev/null
$wine reg add "$current" /v CurrentMinorVersionNumber /t REG_DWORD /d 0 /f >/dev/null
$wine reg add "$current" /v ProductName /t REG_SZ /d 'Windows Server 2022 Datacenter' /f >/dev/null
# As on every node that Azure sets up.
$wine reg add 'HKLM\SYSTEM\CurrentControlSet\Services\hns\State' /v SDNRemoteArpMacAddress /t REG_SZ /d 12-34-56-78-9a-bc /f >/dev/null
$wine reg delete 'HKCU\Software\Wine' /v Version /f >/dev/null 2>&1 || true

cp "$@" "$folder.new/drive_c/windows/system32/"
mkdir -p "$folder.new/drive_c/k"
"$server" -k
"$server" -w
trap - EXIT
mv "$folder.new" "$folder"
