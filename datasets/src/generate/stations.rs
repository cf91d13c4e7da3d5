//! The stations of [`Measurements`](super::Measurements): cities of the world by a rough mean of their temperatures.

use std::sync::LazyLock;

/// A place where temperatures are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// Its name, in UTF-8, without a semicolon.
    pub name: &'static str,
    /// About what its temperatures lie around, in degrees Celsius.
    pub mean: i32,
}

/// The 413 stations.
pub static STATIONS: LazyLock<Vec<Station>> = LazyLock::new(|| {
    let of = |&(mean, names): &(i32, &'static str)| {
        names.split(';').map(move |name| Station { name, mean })
    };
    CLIMATES.iter().flat_map(of).collect()
});

/// A mean, and the stations that have it.
const CLIMATES: [(i32, &str); 21] = [
    (-16, "Eureka;Verkhoyansk;Oymyakon;Resolute;Alert"),
    (-12, "Tiksi;Pevek;Norilsk;Khatanga;Barrow;Vorkuta;Cambridge Bay"),
    (-8, "Yakutsk;Iqaluit;Inuvik;Salekhard;Longyearbyen;Baker Lake;Mirny"),
    (-4, "Churchill;Magadan;Yellowknife;Ulan-Ude;Ilulissat;Chita;Kotzebue;Nome"),
    (-1, "Ulaanbaatar;Fairbanks;Nuuk;Surgut;Murmansk;Kiruna;Whitehorse;Bratsk;Erdenet"),
    (1, "Irkutsk;Krasnoyarsk;Arkhangelsk;Anchorage;Novosibirsk;Omsk;Tomsk;Rovaniemi;Petropavlovsk"),
    (
        3,
        "Yekaterinburg;Perm;Oulu;Winnipeg;Edmonton;Saskatoon;Astana;Kuopio;Tromsø;Khabarovsk;\
         Ufa;Kazan;Regina",
    ),
    (
        5,
        "Reykjavík;Helsinki;Trondheim;Tampere;Tallinn;Vladivostok;Saint Petersburg;Calgary;\
         Moscow;Harbin;Québec;Duluth;Samara;Umeå;Uppsala",
    ),
    (
        7,
        "Oslo;Stockholm;Riga;Vilnius;Minsk;Montréal;Ottawa;Gothenburg;Bergen;Halifax;Kaunas;\
         Smolensk;Lviv;Ushuaia;St. John's;Sapporo;Changchun;Lhasa;Minneapolis;Bern",
    ),
    (
        9,
        "Copenhagen;Kyiv;Warsaw;Kraków;Gdańsk;Hamburg;Edinburgh;Glasgow;Toronto;Prague;Munich;\
         Dublin;Belfast;Malmö;Aarhus;Poznań;Wrocław;Zürich;Innsbruck;Salzburg;Milwaukee;\
         Buffalo;Boise;Shenyang;Chișinău;Kharkiv;Stavanger;Leipzig;Dresden",
    ),
    (
        10,
        "Berlin;Amsterdam;Brussels;Luxembourg;Vienna;Bratislava;Budapest;Manchester;Birmingham;\
         Leeds;Cardiff;Rotterdam;Utrecht;Antwerp;Ghent;Cologne;Frankfurt am Main;Stuttgart;\
         Geneva;Chicago;Detroit;Cleveland;Boston;Denver;Salt Lake City;Ljubljana;Vancouver;\
         Victoria;Almaty",
    ),
    (
        12,
        "London;Paris;Lyon;Zagreb;Belgrade;Bucharest;Sofia;Skopje;Milan;Turin;New York City;\
         Philadelphia;Seattle;Portland;Indianapolis;Columbus;Cincinnati;Kansas City;Beijing;\
         Bishkek;Seoul;Pyongyang;Kabul;Ankara;Wellington;Odesa;Sendai;Hobart;Urumqi",
    ),
    (
        14,
        "Madrid;Bordeaux;Toulouse;Bilbao;Porto;Venice;Bologna;Florence;Istanbul;Tbilisi;\
         Tashkent;Dushanbe;Washington;Baltimore;Saint Louis;Louisville;Nashville;Reno;\
         Albuquerque;San Francisco;Melbourne;Canberra;Bogotá;Cusco;Santiago;Valparaíso;Qingdao;\
         Xi'an;Busan",
    ),
    (
        16,
        "Rome;Marseille;Nice;Barcelona;Lisbon;Naples;Tokyo;Osaka;Kyoto;Hiroshima;Fukuoka;\
         Yerevan;Baku;Tehran;Charlotte;Atlanta;Memphis;Oklahoma City;Cape Town;Auckland;\
         Adelaide;Mexico City;Toluca;Addis Ababa;Shanghai;Nanjing;Hangzhou;Wuhan;Thessaloniki",
    ),
    (
        18,
        "Athens;Valencia;Palermo;Málaga;Sevilla;Valletta;Tunis;Algiers;Casablanca;Rabat;\
         Tangier;Beirut;Jerusalem;Amman;Damascus;Izmir;Dallas;Los Angeles;San Diego;Sydney;\
         Perth;Buenos Aires;Rosario;Córdoba;Harare;Nairobi;Antananarivo;Chongqing;Changsha",
    ),
    (
        20,
        "Cairo;Alexandria;Tripoli;Benghazi;Tel Aviv;Haifa;Nicosia;Larnaca;Marrakesh;Houston;\
         New Orleans;San Antonio;Austin;Jacksonville;Las Vegas;Brisbane;Durban;Pretoria;Lusaka;\
         Lilongwe;São Paulo;Curitiba;Porto Alegre;Lima;Guangzhou;Funchal;Las Palmas;Hamilton;\
         Gaborone",
    ),
    (
        22,
        "Phoenix;Tampa;Orlando;Monterrey;Belo Horizonte;Brasília;Asunción;Maputo;Bulawayo;\
         Kigali;Kampala;Bujumbura;Taipei;Kaohsiung;Hong Kong;Macau;Shenzhen;Hanoi;Baghdad;\
         Basra;Islamabad;Guatemala City;Tegucigalpa;Caracas;Medellín;Asmara",
    ),
    (
        24,
        "Miami;Havana;Nassau;Rio de Janeiro;Salvador;Dar es Salaam;Luanda;Kinshasa;Brazzaville;\
         Bangalore;Delhi;Lahore;Karachi;Honolulu;Nouméa;Suva;San José;San Salvador;\
         Santa Cruz de la Sierra;Riyadh;Kuwait City;Port Louis;Saint-Denis;Cairns;Townsville",
    ),
    (
        26,
        "Singapore;Kuala Lumpur;Jakarta;Lagos;Accra;Abidjan;Lomé;Cotonou;Douala;Libreville;\
         Yaoundé;Freetown;Monrovia;Conakry;Dakar;Kolkata;Dhaka;Mumbai;Hyderabad;Colombo;\
         Santo Domingo;San Juan;Kingston;Port-au-Prince;Panama City;Managua;Manaus;Belém;Recife",
    ),
    (
        28,
        "Bangkok;Manila;Ho Chi Minh City;Phnom Penh;Vientiane;Yangon;Chennai;Dubai;Abu Dhabi;\
         Doha;Manama;Muscat;Bamako;Ouagadougou;Niamey;N'Djamena;Kano;Juba;Malé;Cartagena;\
         Barranquilla;Maracaibo;Malabo;Port of Spain",
    ),
    (
        30,
        "Khartoum;Djibouti;Timbuktu;Mecca;Jeddah;Aden;Hodeidah;Massawa;Assab;Ahvaz;Nagpur;\
         Kayes;Agadez",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_apart() {
        let names: HashSet<_> = STATIONS.iter().map(|station| station.name).collect();
        assert_eq!((names.len(), STATIONS.len()), (413, 413));
        assert!(names.iter().all(|name| name.trim() == *name && (2..=100).contains(&name.len())));
    }
}
