# The network and the machines of docs/quickstart-kubeadm.md; the same as ../arm/nodes.json.

terraform {
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.0"
    }
  }
}

provider "azurerm" {
  features {}
}

variable "location" {
  type    = string
  default = "westeurope"
}

variable "workers" {
  type    = number
  default = 2
}

variable "pods_per_node" {
  description = "Secondary addresses of each NIC; Azure allows 256 addresses in total."
  type        = number
  default     = 50
}

variable "vm_size" {
  type    = string
  default = "Standard_D2s_v5"
}

variable "ssh_public_key" {
  type = string
}

variable "ssh_from" {
  description = "The addresses that may use ssh, for example 203.0.113.7/32."
  type        = string
}

locals {
  machines = concat(["control-plane"], [for w in range(1, var.workers + 1) : "worker${w}"])
}

resource "azurerm_resource_group" "cluster" {
  name     = "vnet-cluster"
  location = var.location
}

resource "azurerm_network_security_group" "nodes" {
  name                = "nodes"
  location            = azurerm_resource_group.cluster.location
  resource_group_name = azurerm_resource_group.cluster.name

  security_rule {
    name                       = "ssh"
    priority                   = 100
    direction                  = "Inbound"
    access                     = "Allow"
    protocol                   = "Tcp"
    source_address_prefix      = var.ssh_from
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "22"
  }
}

# 65,536 addresses: 250 nodes with 250 pods each. The services' range (10.0.0.0/16) lies outside.
resource "azurerm_virtual_network" "cluster" {
  name                = "cluster"
  location            = azurerm_resource_group.cluster.location
  resource_group_name = azurerm_resource_group.cluster.name
  address_space       = ["10.240.0.0/16"]
}

resource "azurerm_subnet" "nodes" {
  name                 = "nodes"
  resource_group_name  = azurerm_resource_group.cluster.name
  virtual_network_name = azurerm_virtual_network.cluster.name
  address_prefixes     = ["10.240.0.0/16"]
}

resource "azurerm_subnet_network_security_group_association" "nodes" {
  subnet_id                 = azurerm_subnet.nodes.id
  network_security_group_id = azurerm_network_security_group.nodes.id
}

# The way out, for machines and pods: no masquerading on the nodes.
resource "azurerm_public_ip" "outbound" {
  name                = "outbound"
  location            = azurerm_resource_group.cluster.location
  resource_group_name = azurerm_resource_group.cluster.name
  allocation_method   = "Static"
  sku                 = "Standard"
}

resource "azurerm_nat_gateway" "outbound" {
  name                = "outbound"
  location            = azurerm_resource_group.cluster.location
  resource_group_name = azurerm_resource_group.cluster.name
  sku_name            = "Standard"
}

resource "azurerm_nat_gateway_public_ip_association" "outbound" {
  nat_gateway_id       = azurerm_nat_gateway.outbound.id
  public_ip_address_id = azurerm_public_ip.outbound.id
}

resource "azurerm_subnet_nat_gateway_association" "nodes" {
  subnet_id      = azurerm_subnet.nodes.id
  nat_gateway_id = azurerm_nat_gateway.outbound.id
}

resource "azurerm_public_ip" "ssh" {
  name                = "ssh"
  location            = azurerm_resource_group.cluster.location
  resource_group_name = azurerm_resource_group.cluster.name
  allocation_method   = "Static"
  sku                 = "Standard"
}

resource "azurerm_network_interface" "machine" {
  for_each                       = toset(local.machines)
  name                           = each.key
  location                       = azurerm_resource_group.cluster.location
  resource_group_name            = azurerm_resource_group.cluster.name
  accelerated_networking_enabled = true

  dynamic "ip_configuration" {
    for_each = range(0, var.pods_per_node + 1)
    content {
      name                          = "ip${ip_configuration.value}"
      primary                       = ip_configuration.value == 0
      subnet_id                     = azurerm_subnet.nodes.id
      private_ip_address_allocation = "Dynamic"
      public_ip_address_id          = each.key == "control-plane" && ip_configuration.value == 0 ? azurerm_public_ip.ssh.id : null
    }
  }
}

resource "azurerm_linux_virtual_machine" "machine" {
  for_each              = toset(local.machines)
  name                  = each.key
  location              = azurerm_resource_group.cluster.location
  resource_group_name   = azurerm_resource_group.cluster.name
  size                  = var.vm_size
  admin_username        = "azureuser"
  network_interface_ids = [azurerm_network_interface.machine[each.key].id]

  admin_ssh_key {
    username   = "azureuser"
    public_key = var.ssh_public_key
  }

  os_disk {
    caching              = "ReadWrite"
    storage_account_type = "Premium_LRS"
  }

  source_image_reference {
    publisher = "Canonical"
    offer     = "ubuntu-24_04-lts"
    sku       = "server"
    version   = "latest"
  }

  identity {
    type = "SystemAssigned"
  }
}
