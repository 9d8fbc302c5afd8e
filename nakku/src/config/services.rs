//! Where other services are.

use http_client::ServiceUrl;

use super::{ConfigError, Texts, values};

/// The instances of each service, as set.
#[derive(Debug, Clone, Default)]
pub struct ServiceUrls {
    pub users: Vec<ServiceUrl>,
    pub products: Vec<ServiceUrl>,
    pub inventory: Vec<ServiceUrl>,
    pub orders: Vec<ServiceUrl>,
    pub payments: Vec<ServiceUrl>,
    pub deliveries: Vec<ServiceUrl>,
    pub queries: Vec<ServiceUrl>,
    pub admin: Vec<ServiceUrl>,
}

impl ServiceUrls {
    pub(super) fn check(texts: &Texts) -> Result<ServiceUrls, ConfigError> {
        let instances = |setting| -> Result<Vec<ServiceUrl>, ConfigError> {
            Ok(texts
                .optional(setting, values::service_urls)?
                .unwrap_or_default())
        };
        Ok(ServiceUrls {
            users: instances("user_service_url")?,
            products: instances("product_service_url")?,
            inventory: instances("inventory_service_url")?,
            orders: instances("order_service_url")?,
            payments: instances("payment_service_url")?,
            deliveries: instances("delivery_service_url")?,
            queries: instances("query_service_url")?,
            admin: instances("admin_service_url")?,
        })
    }
}
