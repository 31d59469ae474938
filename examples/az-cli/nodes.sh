#!/bin/sh
# Makes the network and the machines of docs/quickstart-kubeadm.md with the Azure CLI: az login first.
# Each secondary address is a call of its own and takes some seconds; arm/nodes.json makes all of them in one.
set -eu
group=${GROUP:-vnet-cluster} location=${LOCATION:-westeurope} workers=${WORKERS:-2} pods=${PODS:-50}
size=${SIZE:-Standard_D2s_v5} key=${SSH_KEY:-$HOME/.ssh/id_rsa.pub} from=${SSH_FROM:?name the addresses that may use ssh, for example 203.0.113.7/32}

az group create --name "$group" --location "$location"
az network nsg create --resource-group "$group" --name nodes
az network nsg rule create --resource-group "$group" --nsg-name nodes --name ssh --priority 100 --access Allow --protocol Tcp \
    --source-address-prefixes "$from" --destination-port-ranges 22

# 65,536 addresses: 250 nodes with 250 pods each. The services' range (10.0.0.0/16) lies outside.
az network vnet create --resource-group "$group" --name cluster --address-prefixes 10.240.0.0/16 \
    --subnet-name nodes --subnet-prefixes 10.240.0.0/16 --network-security-group nodes

# The way out, for machines and pods: no masquerading on the nodes.
az network public-ip create --resource-group "$group" --name outbound --sku Standard --allocation-method Static
az network nat gateway create --resource-group "$group" --name outbound --public-ip-addresses outbound
az network vnet subnet update --resource-group "$group" --vnet-name cluster --name nodes --nat-gateway outbound

# machine NAME [PUBLIC_IP]
machine() {
    az network nic create --resource-group "$group" --name "$1" --vnet-name cluster --subnet nodes \
        --accelerated-networking true ${2:+--public-ip-address "$2"}
    i=1
    while [ "$i" -le "$pods" ]; do
        az network nic ip-config create --resource-group "$group" --nic-name "$1" --name "pod$i"
        i=$((i + 1))
    done
    az vm create --resource-group "$group" --name "$1" --nics "$1" --image Ubuntu2404 --size "$size" \
        --admin-username azureuser --ssh-key-values "$key" --assign-identity '[system]'
}

az network public-ip create --resource-group "$group" --name ssh --sku Standard --allocation-method Static
machine control-plane ssh
w=1
while [ "$w" -le "$workers" ]; do
    machine "worker$w"
    w=$((w + 1))
done
az network public-ip show --resource-group "$group" --name ssh --query ipAddress --output tsv
