<#
.SYNOPSIS
Installs, upgrades and removes the Azure VNET CNI plugins on a Windows node: docs/install.md.
.DESCRIPTION
Gets a release and verifies it. The rest is the work of azure-vnet-install.exe, which is in it.
.EXAMPLE
install-cni-plugin.ps1 v2.0.0
.EXAMPLE
powershell -ExecutionPolicy Bypass -File install-cni-plugin.ps1 -From D:\release
.EXAMPLE
install-cni-plugin.ps1 -Rollback
#>
[CmdletBinding()]
param(
    # For example v2.0.0; without it, the newest.
    [string]$Version,
    # A folder, or a web server's folder, with the files of a release.
    [string]$From,
    [switch]$Rollback,
    [switch]$Uninstall,
    # Tell HNS the MAC of Azure's network, as on every node that Azure sets up: docs/install.md.
    [switch]$RemoteArp,
    # Check all, change nothing, say what would be done.
    [switch]$DryRun
)
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$releases = 'https://github.com/Azure/azure-container-networking/releases'
$store = 'C:\k\azurecni\store'
[Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12

function Get-ReleaseFile([string]$Source, [string]$Name) {
    $target = Join-Path $work $Name
    if ($Source -match '^https?://') {
        Invoke-WebRequest -UseBasicParsing -Uri "$Source/$Name" -OutFile $target
    } else {
        Copy-Item -LiteralPath (Join-Path $Source $Name) -Destination $target
    }
    return $target
}

function Invoke-Installer([string]$Program, [string[]]$Arguments) {
    if ($DryRun) {
        $Arguments = @('--dry-run') + $Arguments
    }
    & $Program @Arguments
    if ($LASTEXITCODE -ne 0) {
        throw "azure-vnet-install $Arguments ended with $LASTEXITCODE"
    }
}

# The installer of the version in use, from a place that may be removed.
function Copy-Installer {
    $state = Join-Path $store 'state.json'
    if (-not (Test-Path -LiteralPath $state)) {
        throw 'Nothing was installed by this script'
    }
    $inUse = Get-Content -Raw -LiteralPath $state | ConvertFrom-Json
    foreach ($version in $inUse.current, $inUse.previous) {
        $program = Join-Path $store "versions\$version\azure-vnet-install.exe"
        if ($version -and (Test-Path -LiteralPath $program)) {
            Copy-Item -LiteralPath $program -Destination $work
            return (Join-Path $work 'azure-vnet-install.exe')
        }
    }
    throw "There is no installer below $store"
}

$user = New-Object Security.Principal.WindowsPrincipal([Security.Principal.WindowsIdentity]::GetCurrent())
if (-not $user.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
    throw 'Needs an administrator, to write to C:\k\azurecni'
}
if ($env:PROCESSOR_ARCHITECTURE -ne 'AMD64') {
    throw "There are no plugins for $env:PROCESSOR_ARCHITECTURE"
}

$work = Join-Path ([IO.Path]::GetTempPath()) ([Guid]::NewGuid())
New-Item -ItemType Directory -Path $work | Out-Null
try {
    if ($Rollback) {
        Invoke-Installer (Copy-Installer) @('rollback')
        return
    }
    if ($Uninstall) {
        Invoke-Installer (Copy-Installer) @('uninstall')
        return
    }
    $source = $From
    if (-not $Version) {
        $latest = "$releases/latest/download"
        if ($From) {
            $latest = $From
        }
        $Version = (Get-Content -LiteralPath (Get-ReleaseFile $latest 'VERSION')).Trim()
    }
    if (-not $source) {
        $source = "$releases/download/$Version"
    }
    $name = "azure-vnet-cni-windows-amd64-$Version.zip"
    $sum = (Get-Content -LiteralPath (Get-ReleaseFile $source "$name.sha256")).Split(' ')[0]
    $archive = Get-ReleaseFile $source $name
    $is = (Get-FileHash -Algorithm SHA256 -LiteralPath $archive).Hash
    if ($is -ne $sum) {
        throw "$source/$name is damaged: its SHA-256 is $is and should be $sum. Nothing was installed"
    }
    $unpacked = Join-Path $work 'release'
    Expand-Archive -LiteralPath $archive -DestinationPath $unpacked
    $arguments = @('install', $Version)
    if ($RemoteArp) {
        $arguments = @('--remote-arp') + $arguments
    }
    Invoke-Installer (Join-Path $unpacked 'azure-vnet-install.exe') $arguments
} finally {
    # A virus scanner may still have the installer open. That does no harm to what was done.
    Remove-Item -Recurse -Force -LiteralPath $work -ErrorAction SilentlyContinue
    if (Test-Path -LiteralPath $work) {
        Write-Warning "Something has files of $work open; remove it"
    }
}
